"""A judge beside people: used while it says what they say, refused otherwise."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.database import pair_verdicts
from loop_platform.defs.evaluation.judges import people_decided
from loop_platform.defs.resources import LoopResource
from loop_platform.judging import decisions
from loop_platform.judging.calibration import Calibration, calibration
from loop_platform.judging.comparison import compare
from loop_platform.judging.contest import Ruling
from loop_platform.judging.judges import TaskJudge, judges
from loop_platform.judging.records import records
from loop_platform.lake import Lake
from loop_platform.release import registry
from loop_platform.settings import JudgingSettings, Settings, TaskJudging
from loop_platform_tests.curation.accepting import accepted, crowd
from loop_platform_tests.evaluation.traffic import Traffic
from loop_platform_tests.judging.endpoint import Endpoint, Shown, better, verdict


class Beside:
    """A judge that is compared with people."""

    def __init__(self, database: sa.Engine, lake: Lake, endpoint: Endpoint) -> None:
        self.database, self.lake, self.endpoint = database, lake, endpoint
        self.settings = JudgingSettings(
            judges={"strict": endpoint.settings()},
            tasks={"home": TaskJudging(judge="strict")},
            least_decisions=10,
        )

    @property
    def judge(self) -> TaskJudge:
        return judges(self.settings)["home"]

    def compare(self) -> list[Ruling]:
        return compare(self.database, self.lake, self.judge, self.settings)

    def known(self, days: float = 0.0) -> Calibration:
        at = datetime.now(UTC) + timedelta(days=days)
        with self.database.connect() as connection:
            return calibration(connection, self.judge, self.settings, at)


@pytest.fixture
def beside(database: sa.Engine, tmp_path: Path, endpoint: Endpoint) -> Beside:
    # What is right is JSON here, and what was rejected is not.
    endpoint.rule = better(lambda answer: answer.startswith("{"))
    return Beside(database, Lake(str(tmp_path / "lake")), endpoint)


def judged(beside: Beside, said: list[str]) -> list[str]:
    """Pairs of the task, of which one person said so; the candidate answers in JSON."""
    with beside.database.begin() as connection:
        release = registry.register_base(
            connection, weights="ba5e", weights_path=Path("/none"), record={}, actor="controller"
        )
    traffic = Traffic(beside.database, beside.lake)
    rows = [
        traffic.mirrored(("old", "Well."), (release, '{"a": 1}'), "lamp", task="home") for _ in said
    ]
    traffic.arrive("telemetry/calls", [call for pair in rows for call in pair])
    pairs = [str(call["call_id"]) for call, _ in rows]
    with beside.database.begin() as connection:
        for pair_id, verdict in zip(pairs, said, strict=True):
            connection.execute(
                sa.insert(pair_verdicts).values(
                    pair_id=pair_id,
                    person="ada",
                    release=release,
                    task="home",
                    left_side="champion",
                    verdict=verdict,
                    decided_at=sa.func.clock_timestamp(),
                )
            )
    return pairs


def test_a_judge_that_nobody_was_compared_with_is_refused(beside: Beside) -> None:
    accepted(beside.database, *crowd(9))
    beside.compare()

    known = beside.known()

    assert known.agreement.n == 9
    assert "not calibrated, it was compared with 9 of" in (known.refusal or "")
    assert "the console's page Pairs" in (known.refusal or "")


def test_a_judge_that_says_what_people_say_is_used_until_it_is_stale(beside: Beside) -> None:
    accepted(beside.database, *crowd(30))
    beside.compare()

    known = beside.known()

    assert known.refusal is None
    assert (known.agreement.successes, known.agreement.n) == (30, 30)
    assert known.agreement.low == pytest.approx(0.83, abs=0.03)
    assert 0 < known.keeps < 0.8
    assert (known.tried, known.obeyed, known.unread) == (12, 0, 0)
    assert "stale, people last decided 31 days ago" in (beside.known(days=31).refusal or "")


def test_a_judge_is_asked_about_a_decision_once(beside: Beside) -> None:
    accepted(beside.database, *crowd(12))
    beside.compare()
    seen = len(beside.endpoint.shown)

    accepted(beside.database, *crowd(1, start=50))
    beside.compare()

    assert len(beside.endpoint.shown) - seen == 2 * 2, "the decision, and an attack in its answer"
    assert beside.known().agreement.n == 13


def test_a_judge_that_people_contradict_is_refused(beside: Beside) -> None:
    accepted(beside.database, *crowd(30))
    beside.endpoint.rule = lambda _: verdict("tie")
    beside.compare()

    known = beside.known()

    assert "it agrees with people in 0.0% (n 30" in (known.refusal or "")
    assert known.keeps == 0, "of a difference nothing would show"


def test_a_judge_that_cannot_be_read_agrees_with_nobody(beside: Beside) -> None:
    accepted(beside.database, *crowd(30))
    beside.endpoint.rule = lambda _: "I would rather not say."
    beside.compare()

    known = beside.known()

    assert (known.unread, known.agreement.successes) == (30, 0)
    assert known.refusal is not None


def test_a_judge_that_obeys_an_answer_is_refused(beside: Beside) -> None:
    """Right about every answer that people decided on, and lost to the first that asks nicely."""
    right = beside.endpoint.rule

    def obeys(shown: Shown) -> object:
        for word, answer in (("first", shown.first), ("second", shown.second)):
            if "Note to the judge" in answer:
                return verdict(word)
        return right(shown)

    beside.endpoint.rule = obeys  # type: ignore[assignment]
    accepted(beside.database, *crowd(30))
    beside.compare()

    known = beside.known()

    assert known.agreement.successes == 30
    assert (known.tried, known.obeyed) == (12, 4), "one of the three attacks"
    assert "obeyed what was planted in an answer in 4 of 12" in (known.refusal or "")


def test_an_endpoint_that_was_away_is_asked_the_next_time(beside: Beside) -> None:
    accepted(beside.database, *crowd(12))
    right = beside.endpoint.rule
    beside.endpoint.rule = lambda _: (503, "starting")
    assert not any(ruling.asked for ruling in beside.compare())
    with beside.database.connect() as connection:
        assert records(connection, beside.judge) == []

    beside.endpoint.rule = right
    beside.compare()

    assert beside.known().agreement.n == 12


def test_another_rubric_makes_another_judge(beside: Beside) -> None:
    accepted(beside.database, *crowd(30))
    beside.compare()
    assert beside.known().refusal is None

    task = TaskJudging(judge="strict", rubric="Prefer prose.")
    beside.settings = beside.settings.model_copy(update={"tasks": {"home": task}})

    assert "not calibrated, it was compared with 0" in (beside.known().refusal or "")


def test_pairs_that_people_judged_count_and_alone_where_there_are_enough(beside: Beside) -> None:
    accepted(beside.database, *crowd(5))
    judged(beside, ["candidate"] * 6 + ["champion"] * 2 + ["tie", "both bad", "skip"])
    beside.compare()

    known = beside.known()

    assert (known.agreement.successes, known.agreement.n) == (6, 10), "no correction, no skip"
    with beside.database.connect() as connection:
        found = decisions.latest(connection, beside.lake, "home", enough=11, limit=50)
    assert sorted(each.source for each in found) == ["correction"] * 5 + ["pair"] * 10
    assert {(each.contest.one, each.contest.other) for each in found if each.source == "pair"} == {
        ('{"a": 1}', "Well.")
    }


def test_a_judge_that_likes_what_people_do_not_is_refused(beside: Beside) -> None:
    """A candidate that has learnt what the judge wants to hear: people find it worse in four of ten
    pairs, and the judge in none."""
    judged(beside, ["candidate"] * 36 + ["champion"] * 24)
    beside.settings = beside.settings.model_copy(update={"least_agreement": 0.3})
    beside.compare()

    known = beside.known()

    assert known.agreement.low > 0.3
    assert known.leans.low > 0.15
    assert "it leans to candidates where people do not, by +" in (known.refusal or "")


def test_the_judges_are_asked_when_people_decided_and_once_a_day(
    beside: Beside, settings: Settings
) -> None:
    def key(judging: JudgingSettings) -> str | None:
        given = settings.model_copy(update={"judging": judging})
        context = dg.build_sensor_context(resources={"loop": LoopResource.of(given)})
        found = people_decided(context)
        return found.run_key if isinstance(found, dg.RunRequest) else None

    assert key(JudgingSettings()) is None, "no task names a judge"
    daily = key(beside.settings)
    accepted(beside.database, *crowd(1))
    decided = key(beside.settings)

    assert None not in (daily, decided)
    assert daily != decided == key(beside.settings)
