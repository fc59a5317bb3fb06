"""The page of a decision: what a person reads there is what the gates and the audit log say."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from loop_platform.console.course import Course, points
from loop_platform.release import registry, requests, trials
from loop_platform.release.inspection import ChangedFilesError, compare
from loop_platform.release.states import State
from loop_platform.settings import FrontSettings
from loop_platform_tests.console.conftest import Visitor
from loop_platform_tests.console.judged import Past


@pytest.fixture
def past(database: sa.Engine, tmp_path: Path) -> Iterator[Past]:
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield Past(connection, tmp_path)


def text_of(visitor: Visitor, release: str, role: str = "admin") -> str:
    """What the page says, without its tags."""
    page = visitor(role).get(f"/releases/{release}")
    assert page.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def pictures(visitor: Visitor, release: str) -> list[ElementTree.Element]:
    page = visitor().get(f"/releases/{release}").text
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.S)]


def test_a_trial_shows_each_front_with_its_goal_its_interval_and_its_course(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    shown = past.shadow(name, base)

    said = text_of(visitor, name)
    drawn = pictures(visitor, name)

    assert len(drawn) == len(shown["fronts"]) == 6
    titles = [picture.findtext("title") for picture in drawn]
    for front, found in shown["fronts"].items():
        interval = f"{points(found['low'])} to {points(found['high'])}"
        assert f"{front} {found['verdict']} {interval} n {found['n']}" in said
        ending = f"{front}, candidate minus champion: {interval} after {found['n']} pairs"
        assert ending in titles
    assert titles[0] is not None
    assert titles[0].startswith("completion of what was corrected"), "what was to be won is first"
    assert "to be won: better than the champion" in said
    assert "to be held: at most 10 points below" in said
    for gate in shown["gates"]:
        assert gate["sentence"] in said


def test_a_shadow_that_goes_on_waits_for_traffic_and_nobody_can_promote_it(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.shadow(name, base, pairs=120)

    said = text_of(visitor, name)

    assert "Answers unseen beside the champion" in said
    assert "waits for traffic: it is looked at again after 150 pairs" in said
    assert "120 pairs judged; the first verdict after 100, 5,000 at most" in said
    assert 'data-move="promote"' not in visitor("admin").get(f"/releases/{name}").text


def test_what_waits_for_a_person_is_shown_everywhere_and_can_be_promoted(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.shadow(name, base)
    shown = past.canary(name, base)
    assert shown["verdict"] == "passed"

    said = text_of(visitor, name)

    assert "Waits for a person nothing got worse in its canary" in said
    assert "a person, who sends it on or rejects it; asked for by home, invoices, search" in said
    assert "Promote to champion" in said
    assert "waits for a person" in visitor().get("/releases").text
    assert "waits for a person: nothing got worse" in visitor().get("/").text
    [wait] = visitor().get("/api/status").json()["waits"]
    assert wait["release"] == name


def test_who_looks_and_may_not_decide_sees_no_buttons(past: Past, visitor: Visitor) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.shadow(name, base)
    past.canary(name, base)

    assert "Waits for a person" in text_of(visitor, name, "reviewer")
    assert "data-move" not in visitor().get(f"/releases/{name}").text


def test_a_promotion_that_was_asked_for_waits_for_the_controller(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.shadow(name, base)
    past.canary(name, base)
    asked = requests.request_move(
        past.connection, name, State.CHAMPION, actor="ada", reason="looks good", evidence={}
    )

    assert "waits for the controller: ada asked for champion" in text_of(visitor, name)
    requests.close(past.connection, asked, "no engine served it")
    said = text_of(visitor, name)
    assert "ada asked for champion and was refused: no engine served it" in said
    assert "Waits for a person" in said


def test_the_way_says_who_moved_it_and_why(past: Past, visitor: Visitor) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.shadow(name, base)
    past.canary(name, base)
    approval = {"needed": True, "tasks": ["invoices"], "given_by": "ada"}
    past.move(base, State.RETIRED, "ada", "better", {"successor": name})
    past.move(name, State.CHAMPION, "ada", "looks good to me", {"approval": approval})

    said = text_of(visitor, name)

    assert "Serves everyone" in said
    assert re.search(r"champion after [\d.]+ s ada just now looks good to me", said)
    assert "approved by ada, for invoices" in said
    assert "Roll back" in said


def test_a_candidate_whose_files_were_changed_says_which_and_what_they_were(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    with pytest.raises(ChangedFilesError) as refused:
        compare(
            registry.find(past.connection, name),
            {"weights/model.safetensors": "ab" * 32, "weights/config.json": "ef" * 32},
            {"weights/model.safetensors": "cd" * 32, "weights/config.json": "ef" * 32},
        )
    changed = refused.value
    past.move(name, State.REJECTED, "controller", str(changed), dict(changed.evidence))

    said = text_of(visitor, name)

    assert "Turned away" in said
    assert "weights/model.safetensors was abababababab when it was registered" in said
    assert "and is cdcdcdcdcdcd now" in said
    assert "its files: changed (weights/model.safetensors)" in said


def test_a_candidate_that_was_turned_away_says_which_gate_refused(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    reason = "cost_holds: cost lost (n 120, -31.0% to -12.0%)"
    past.move(name, State.REJECTED, "dagster", reason, {})

    said = text_of(visitor, name)

    assert "Turned away cost holds: cost lost (n 120, -31.0% to -12.0%)" in said
    assert "Corrections of earlier cycles that were held out stay learnt." in said
    assert "all corrections success won" in said


def test_the_base_model_and_a_trial_that_nobody_looked_at_have_pages(
    past: Past, visitor: Visitor
) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    past.move(name, State.SHADOW, "controller", "it passed the offline gates", {})
    assert "there was nothing to compare it with" in text_of(visitor, base)
    assert "Answers unseen beside the champion" in text_of(visitor, name)  # without a plan
    trials.begin(
        past.connection,
        name,
        State.SHADOW,
        champion=base,
        planned=100,
        budget=5000,
        fronts=FrontSettings(),
    )
    assert "No gate has looked yet" in text_of(visitor, name)


def test_a_course_is_drawn_inside_its_picture_and_narrows_towards_the_end() -> None:
    moments = [(5, -1.0, 1.0), (20, -0.3, 0.5), (100, 0.02, 0.2), (400, 0.06, 0.12)]
    svg = Course(moments, -0.05, "held", "pairs").picture("cost & more")
    drawn = ElementTree.fromstring(str(svg))
    band = drawn.find("polygon")
    assert band is not None
    corners = [tuple(map(float, pair.split(","))) for pair in band.attrib["points"].split()]
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())

    assert drawn.findtext("title") == "cost & more"
    assert len(corners) == 2 * len(moments)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in corners)
    upper, lower = corners[:4], corners[:3:-1]
    assert [x for x, _ in upper] == sorted(x for x, _ in upper)
    depth = [low - high for (_, high), (_, low) in zip(upper, lower, strict=True)]
    assert depth == sorted(depth, reverse=True)
    [goal] = [
        float(line.attrib["y1"]) for line in drawn.iter("line") if line.attrib["class"] == "goal"
    ]
    assert goal > lower[-1][1], "what was known at the end lies above the goal"


def test_a_front_of_which_nothing_was_seen_has_no_picture() -> None:
    assert Course([], 0.0, "not known", "pairs").picture("nothing") == ""
    one = Course([(12, -0.4, 0.6)], 0.0, "not known", "calls").picture("one look")
    assert "12 calls" in one


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.031, "+3.1 %"), (-0.05, "−5 %"), (0.0, "0 %"), (-0.0004, "0 %"), (None, "–")],
)
def test_a_difference_reads_in_points(share: float | None, said: str) -> None:
    assert points(share) == said


def test_who_judged_the_pairs_is_told_with_the_judge_s_record(past: Past, visitor: Visitor) -> None:
    base = past.base()
    name = past.candidate("feed" * 4, base)
    shown = past.shadow(name, base, pairs=100)
    judge = {
        "judge": "strict",
        "agreement": {"rate": 0.9, "n": 60, "low": 0.721, "high": 0.98},
        "refusal": None,
    }
    by = {"judge strict 0123456789abcdef": 80, "people": 3, "same answer": 20}
    record = {"pairs": 110, "by": by, "wait": 7, "judge": judge, "problem": None}
    told = shown | {"judging": {"chat": record}, "people": {"said": 3, "waiting": 7}}
    trials.look(past.connection, name, State.SHADOW, told)

    page = text_of(visitor, name)

    assert (
        "chat: 110 pairs that no validator tells, 80 by judge strict, 20 with the same answer,"
        " 3 by people, 7 wait for a verdict; judge strict says what people say in 90% (n 60, 72% to"
        " 98%)"
    ) in page
    assert "people, who judge 7 pairs on the page Pairs" in page
