"""Who judges a pair that no validator can, and what of it counts."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from loop_platform.defs.evaluation.bench import JUDGE, Bench
from loop_platform.defs.evaluation.next_pair import in_order, urgency
from loop_platform.defs.evaluation.outcomes import with_outcomes
from loop_platform.defs.evaluation.shadow_fronts import FOCUS, fronts, readings, undecided
from loop_platform.judging.calibration import Calibration, agreement
from loop_platform.judging.contest import Contest, Ruling
from loop_platform.judging.judges import TaskJudge
from loop_platform.settings import FrontSettings, JudgingSettings, TaskJudging
from loop_platform.statistics.betting import Interval
from loop_platform_tests.evaluation.validator import is_intent

CHAT = JudgingSettings(tasks={"chat": TaskJudging()}, budget=8)


class Polite:
    """Prefers a please, cannot bear a shout, and is not always there."""

    identity = "polite"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    def judge(self, contests: list[Contest]) -> list[Ruling]:
        if self.away:
            return [Ruling(None, "nobody is there", asked=False)] * len(contests)
        self.asked += [contest.subject for contest in contests]
        return [self._said(contest) for contest in contests]

    def _said(self, contest: Contest) -> Ruling:
        if "!" in contest.one + contest.other:
            return Ruling(None, "how rude")
        one, other = ("please" in answer for answer in (contest.one, contest.other))
        return Ruling("tie" if one == other else "one" if one else "other")


def pairs(*answers: tuple[str, str], task: str = "chat", **fields: object) -> pl.DataFrame:
    """Champion's and candidate's answers, in the order of their ids."""
    rows = [
        {
            "pair_id": f"{task}-{number:03}",
            "tenant": "acme",
            "task": task,
            "request": '{"messages": [{"role": "user", "content": "lamp"}]}',
            "messages": '[{"role": "user", "content": "lamp"}]',
            "champion_answer": champion,
            "candidate_answer": candidate,
            "champion_tokens": 10,
            "candidate_tokens": 10,
            "failed": False,
            **fields,
        }
        for number, (champion, candidate) in enumerate(answers)
    ]
    return with_outcomes(pl.DataFrame(rows), {"commands": is_intent})


def bench(
    said: dict[str, float] | None = None,
    corrected: dict[str, str] | None = None,
    judge: Polite | None = None,
    refusal: str | None = None,
) -> Bench:
    known = {}
    if judge is not None:
        of_task = TaskJudge("strict", "chat", judge.identity, judge)  # type: ignore[arg-type]
        share = agreement([True] * 50)
        at = datetime.now(UTC)
        known["chat"] = Calibration(of_task, share, 0.8, Interval(-0.1, 0.1), 0, 12, 0, at, refusal)
    return Bench(CHAT, said or {}, corrected or {}, known)


def told(frame: pl.DataFrame) -> list[tuple[Any, Any]]:
    return frame.select("preferred", "judged_by").rows()


def completion(frame: pl.DataFrame, of: Bench) -> tuple[float, float | None]:
    """Pairs that count for the task, and their mean."""
    counting = of.in_force(frame)
    found = readings(fronts(counting, [], FrontSettings(), of.judged(counting)))
    return found["completion of chat"].n, found["completion of chat"].mean


def test_what_needs_no_judge_is_not_asked_about() -> None:
    rows = pairs(("a", " a"), ("a", "b"), ("a", "b"), ("a", "b"))
    rows = pl.concat([rows, pairs(("a", ""), failed=True).with_columns(pair_id=pl.lit("chat-004"))])

    found = bench({"chat-001": 1.0}, {"chat-002": "b "}).with_verdicts(rows, rows)

    assert told(found) == [
        (0.0, "same answer"),
        (1.0, "people"),
        (1.0, "correction"),
        (None, None),
        (-1.0, "no answer"),
    ]


def test_what_no_one_has_judged_ends_what_counts() -> None:
    """Ties that need no judge must not dilute the losses that nobody looked at."""
    rows = pairs(*[("a", "a")] * 5, ("a", "b"), *[("a", "a")] * 50, ("a", "b"), *[("a", "a")] * 9)
    none, one = bench(), bench({"chat-005": -1.0})

    assert completion(none.with_verdicts(rows, rows), none) == (5, 0.0)
    assert completion(one.with_verdicts(rows, rows), one) == (56, pytest.approx(-1 / 56))
    assert one.remarks(one.with_verdicts(rows, rows)) == [
        "1 of 66 pairs of chat wait for a verdict"
    ]


def test_a_judge_goes_through_the_pairs_until_its_budget_is_spent() -> None:
    judge = Polite()
    rows = pairs(*[("a", "please")] * 10, ("a", "a"), ("a", "b"))
    of = bench(judge=judge)

    found = of.with_verdicts(rows, rows)

    assert judge.asked == [f"chat-{number:03}" for number in range(8)]
    assert completion(found, of) == (8, 1.0)
    assert of.record(found)["chat"]["by"] == {"judge strict polite": 8, "same answer": 1}
    assert "the budget of 8 pairs is spent" in of.remarks(found)[0]
    again = of.with_verdicts(found, rows)
    assert again.equals(found)
    assert len(judge.asked) == 8, "what it said stands, and its budget is for the whole trial"


def test_what_a_judge_could_not_judge_counts_against_who_profits() -> None:
    rows = pairs(("a", "please"), ("a", "shout!"), ("please", "b"))
    of = bench(judge=Polite())

    counting = of.in_force(of.with_verdicts(rows, rows))
    front = fronts(counting, [], FrontSettings(), of.judged(counting))["completion of chat"]

    assert (front.values, front.best, front.keeps) == ([1.0, -1.0, -1.0], [1.0, 1.0, -1.0], 0.8)
    assert of.record(counting)["chat"]["no verdict"] == 1


def test_a_judge_that_is_away_leaves_the_pairs_to_be_judged_later() -> None:
    judge = Polite()
    rows = pairs(("a", "please"), ("a", "please"))
    of = bench(judge=judge)
    judge.away = True
    found = of.with_verdicts(rows, rows)
    assert told(found) == [(None, None)] * 2
    assert of.remarks(found) == [
        "2 of 2 pairs of chat wait for a verdict (judge strict could not be asked: nobody is there)"
    ]

    judge.away = False

    assert told(of.with_verdicts(found, rows)) == [(1.0, "judge strict polite")] * 2


def test_what_a_judge_said_counts_only_while_it_is_in_use() -> None:
    rows = pairs(("a", "please"), ("a", "please"))
    judge = Polite()
    found = bench(judge=judge).with_verdicts(rows, rows)

    refused = bench(judge=judge, refusal="judge strict is not used on chat: stale")

    assert completion(refused.with_verdicts(found, rows), refused) == (0, None)
    assert "stale" in refused.remarks(refused.in_force(found))[0]
    used = bench(judge=judge)
    assert completion(used.with_verdicts(found, rows), used) == (2, 1.0)
    assert len(judge.asked) == 2, "it is not asked again"


def test_a_person_s_word_takes_the_place_of_a_judge_s() -> None:
    rows = pairs(("a", "please"))
    judge = Polite()
    found = bench(judge=judge).with_verdicts(rows, rows)

    assert told(bench({"chat-000": -1.0}, judge=judge).with_verdicts(found, rows)) == [
        (-1.0, "people")
    ]


def test_without_settings_nothing_changes() -> None:
    rows = pl.concat([pairs(("a", "b")), pairs(("x", '{"intent": "lamp"}'), task="commands")])
    of = Bench(JudgingSettings(), {"chat-000": 1.0}, {}, {})

    found = of.in_force(of.with_verdicts(rows, rows))

    assert found["judged_by"].null_count() == 2
    before = fronts(rows, ["commands"], FrontSettings())
    assert fronts(found, ["commands"], FrontSettings(), of.judged(found)) == before


def test_a_validator_s_word_stands_and_a_judged_task_counts_beside_it() -> None:
    rows = pl.concat(
        [pairs(("x", '{"intent": "lamp"}'), task="commands"), pairs(("a", "b"), ("a", "b"))]
    ).with_columns(pair_id=pl.Series(["0", "1", "2"]))
    of = bench({"1": -1.0})

    counting = of.in_force(of.with_verdicts(rows, rows))
    judged = of.judged(counting)
    known = readings(fronts(counting, ["commands", "chat"], FrontSettings(), judged))

    assert counting["judged_by"].to_list() == [None, "people", None]
    assert (known[FOCUS].n, known[FOCUS].mean) == (2, 0.0)
    assert undecided(known, judged, ["commands", "chat"]) == ["chat"]


class TestTheNextPair:
    def test_the_first_that_nobody_judged_and_then_some_that_a_judge_did(self) -> None:
        judge = Polite()
        rows = pairs(*[("a", "please")] * 8, ("a", "a"), ("a", "b"), ("a", "c"))
        of = bench(judge=judge)
        found = of.with_verdicts(rows, rows)
        evidence = {"people": {"tasks": ["chat"], "judges": of.in_use}, "fronts": {}}

        order = [pair["pair_id"] for pair in in_order(found, ["chat"], evidence)]

        assert order[:2] == ["chat-009", "chat-010"]
        assert sorted(order[2:]) == [f"chat-{number:03}" for number in range(8)]
        assert order[2:] != sorted(order[2:]), "by lot"
        changed = {"people": {"tasks": ["chat"], "judges": [f"{JUDGE}another one"]}, "fronts": {}}
        first = next(in_order(found, ["chat"], changed))
        assert first["pair_id"] == "chat-000", "what another judge said does not count"

    def test_the_task_that_can_end_the_trial_comes_first(self) -> None:
        def front(mean: float | None, aim: str = "hold", n: int = 100) -> dict[str, Any]:
            spread = {} if mean is None else {"low": mean - 0.1, "high": mean + 0.1}
            return {"aim": aim, "margin": 0.05, "n": n, "mean": mean, **spread}

        losing_soon, losing = front(-0.14), front(-0.08)
        won_soon, far = front(0.2, "win"), front(0.01, "win")
        ranked = [losing_soon, losing, front(None, n=0), won_soon, front(0.0), far]
        shuffled = ranked[3:] + ranked[:3]

        assert sorted(shuffled, key=lambda each: urgency(each, undecided=True)) == ranked
        assert urgency(losing_soon, undecided=False) > urgency(far, undecided=True)
