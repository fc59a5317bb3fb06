"""People judge pairs, blind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.database import pair_verdicts
from loop_platform.judging import people
from loop_platform.lake import Lake
from loop_platform.release import trials
from loop_platform.release.states import State
from loop_platform.settings import JudgingSettings, TaskJudging
from loop_platform_tests.console.judged import Past
from loop_platform_tests.evaluation.traffic import Traffic

OLD, NEW = "Sun, I guess.", "It will <b>rain</b>."


@pytest.fixture
def settings(settings):
    judging = JudgingSettings(tasks={"chat": TaskJudging(rubric="Prefer what is true.")})
    return settings.model_copy(update={"judging": judging})


@pytest.fixture
def release(database, tmp_path):
    """A candidate in shadow whose pairs of the task `chat` nobody judged."""
    with database.begin() as connection:
        past = Past(connection, tmp_path)
        champion = past.base()
        name = past.candidate("feed" * 8, champion)
        past.shadow(name, champion, pairs=100)
        told = {"tasks": ["chat"], "judges": [], "said": 0, "waiting": 3}
        shown = trials.find(connection, name, State.SHADOW).evidence | {"people": told}
        trials.look(connection, name, State.SHADOW, shown)
    return name


@pytest.fixture
def pairs(database, settings, release):
    """Their ids, in the order in which they came."""
    traffic = Traffic(database, Lake(settings.lake))
    made = [
        traffic.mirrored(("base", OLD), (release, NEW), f"Day {n}?", task="chat", tenant="acme")
        for n in range(3)
    ]
    traffic.arrive("telemetry/calls", [call for pair in made for call in pair])
    rows = [
        {
            "pair_id": call["call_id"],
            "tenant": "acme",
            "task": "chat",
            "champion_answer": call["answer"],
            "candidate_answer": twin["answer"],
            "champion": None,
            "judged_by": None,
        }
        for call, twin in made
    ]
    schema = {"champion": pl.Boolean, "judged_by": pl.String}
    frame = pl.DataFrame(rows, schema_overrides=schema)
    traffic.lake.write(frame, "evaluation/shadow/0001.parquet")
    return sorted(row["pair_id"] for row in rows)  # of one millisecond, in any order


def said(client, pair_id, verdict):
    return client.post(f"/api/pairs/{pair_id}/verdict", json={"verdict": verdict})


def test_a_person_is_shown_both_answers_and_not_whose_they_are(visitor, pairs):
    pair = visitor().get("/api/pairs/next").json()

    assert pair["pair_id"] == pairs[0]
    assert [message["content"][:4] for message in pair["messages"]] == ["Day "]
    assert {pair["left"], pair["right"]} == {OLD, NEW}
    assert pair["rubric"] == "Prefer what is true."
    assert set(pair) == {"pair_id", "task", "messages", "left", "right", "rubric"}
    page = visitor().get("/pairs").text
    assert "It will &lt;b&gt;rain" in page
    assert "champion" not in page
    assert "candidate" not in page


@pytest.mark.parametrize("case", [(NEW, 1.0), (OLD, -1.0), ("tie", 0.0), ("both bad", 0.0)])
def test_what_is_said_is_said_of_an_answer_wherever_it_stood(
    database, visitor, pairs, release, case
):
    choose, value = case
    ada = visitor()
    pair = ada.get("/api/pairs/next").json()
    side = {pair["left"]: "left", pair["right"]: "right"}.get(choose, choose)

    assert said(ada, pair["pair_id"], side).status_code == 200

    with database.connect() as connection:
        assert people.verdicts(connection, release) == {pair["pair_id"]: value}
        [row] = connection.execute(sa.select(pair_verdicts))
    assert (row.person, row.task, row.release) == ("ada", "chat", release)
    assert row.decided_at > row.shown_at
    assert ada.get("/api/pairs/next").json()["pair_id"] == pairs[1]


def test_the_coin_falls_on_both_sides_and_is_kept(database, release):
    with database.begin() as connection:
        sides = [
            people.show(connection, "ada", release, "chat", f"pair-{number}")
            for number in range(40)
        ]
        again = [
            people.show(connection, "ada", release, "chat", f"pair-{number}")
            for number in range(40)
        ]

    assert set(sides) == {"champion", "candidate"}
    assert again == sides


def test_a_pair_is_with_one_person_at_a_time(database, visitor, pairs):
    ada, bob = visitor(name="ada"), visitor(name="bob")

    assert ada.get("/api/pairs/next").json()["pair_id"] == pairs[0]
    assert ada.get("/api/pairs/next").json()["pair_id"] == pairs[0], "the page loaded again"
    assert bob.get("/api/pairs/next").json()["pair_id"] == pairs[1]
    with database.begin() as connection:
        yesterday = sa.text("now() - interval '1 day'")
        connection.execute(sa.update(pair_verdicts).values(shown_at=yesterday))
    assert visitor(name="cy").get("/api/pairs/next").json()["pair_id"] == pairs[0]


def test_people_who_ask_at_the_same_moment_get_different_pairs(visitor, pairs):
    start = threading.Barrier(3)

    def ask(client):
        start.wait()
        return client.get("/api/pairs/next").json()["pair_id"]

    clients = [visitor(name=name) for name in ("ada", "bob", "cy")]
    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(ask, clients)) == pairs


def test_what_one_person_skips_is_left_to_others(visitor, pairs):
    ada, bob = visitor(name="ada"), visitor(name="bob")
    ada.get("/api/pairs/next")

    assert said(ada, pairs[0], "skip").status_code == 200

    assert ada.get("/api/pairs/next").json()["pair_id"] == pairs[1]
    assert bob.get("/api/pairs/next").json()["pair_id"] == pairs[0]


def test_most_people_decide(database, release):
    with database.begin() as connection:
        for person, choice in (("ada", "candidate"), ("bob", "candidate"), ("cy", "champion")):
            left = people.show(connection, person, release, "chat", "p")
            people.say(connection, person, "p", "left" if left == choice else "right")
        assert people.verdicts(connection, release) == {"p": 1.0}


def test_a_verdict_that_cannot_be_is_refused(visitor, pairs):
    ada = visitor()
    assert said(ada, pairs[0], "left").status_code == 404, "nobody was shown it"
    ada.get("/api/pairs/next")

    wrong = said(ada, pairs[0], "candidate")
    assert wrong.status_code == 400
    assert "'candidate' is no verdict" in wrong.json()["error"]["message"]
    assert said(ada, pairs[0], "tie").status_code == 200
    assert said(ada, pairs[0], "left").status_code == 409


def test_pairs_of_other_tenants_do_not_exist(visitor, pairs):
    assert visitor(name="eve", tenant="rival").get("/api/pairs/next").status_code == 204
    assert visitor("admin", "root", "rival").get("/api/pairs/next").status_code == 200


def test_a_pair_that_is_not_there_is_said_so(visitor, release):
    ada = visitor()
    assert ada.get("/api/pairs/next").status_code == 204
    assert "No pair to judge" in ada.get("/pairs").text


class TestNoTaskIsJudged:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"judging": JudgingSettings()})

    def test_the_page_says_how_one_would_be(self, visitor, pairs):
        assert "[judging.tasks]" in visitor().get("/pairs").text
