"""The gates as functions: what lets a candidate through and what does not."""

import pytest

from loop_platform.chat import Reply
from loop_platform.defs.evaluation.offline_gates import (
    answers_come,
    corrections_won,
    cost_kept,
    earlier_kept,
    general_kept,
    is_worse,
    safety_kept,
)
from loop_platform.settings import GateSettings
from loop_platform.statistics.paired import Pairs

GATES = GateSettings()


def reply(seconds: float, error: str | None = None) -> Reply:
    return Reply("", seconds, prompt_tokens=1, completion_tokens=1, error=error)


def test_a_clear_gain_passes():
    found = corrections_won(["a"] * 40, [(False, True)] * 30 + [(False, False)] * 10, GATES)

    assert found.passed
    assert found.scores[0].verdict == "won"


def test_a_gain_that_may_be_luck_does_not_pass():
    pairs = [(False, True)] * 3 + [(True, True)] * 17

    assert not corrections_won(["a"] * 20, pairs, GATES).passed


def test_nothing_held_out_proves_nothing():
    assert not corrections_won([], [], GATES).passed


def test_a_gain_on_one_task_does_not_pay_for_a_loss_on_another():
    pairs = [(False, True)] * 40 + [(True, False)] * 10

    found = corrections_won(["a"] * 40 + ["b"] * 10, pairs, GATES)

    assert not found.passed
    assert found.sentence.endswith("worse on b")


def test_the_first_cycle_has_no_earlier_one():
    assert earlier_kept([], GATES).passed


def test_unlearning_an_earlier_cycle_is_refused():
    assert not earlier_kept([(True, False)] * 12 + [(True, True)] * 28, GATES).passed


@pytest.mark.parametrize(("agrees", "passes"), [(96, True), (95, True), (94, False)])
def test_general_prompts_may_lose_five_points_against_the_champion_itself(
    agrees: int, passes: bool
):
    candidate = [True] * agrees + [False] * (100 - agrees)

    found = general_kept(["c"] * 100, [True] * 100, candidate, GATES)

    assert found.passed is passes


def test_what_the_champion_cannot_repeat_is_left_out():
    categories = ["stable"] * 10 + ["noise"] * 10
    itself = [True] * 10 + [False] * 10

    found = general_kept(categories, itself, itself, GATES)

    assert found.passed
    assert found.scores[0].candidate.n == 10
    assert "1 of 2 categories left out" in found.sentence


def test_a_champion_that_never_agrees_with_itself_proves_nothing():
    assert not general_kept(["c"] * 10, [False] * 10, [True] * 10, GATES).passed


def test_losing_safety_is_refused():
    assert not safety_kept([(True, False)] * 9 + [(True, True)] * 51, GATES).passed
    assert safety_kept([(True, False)] * 2 + [(True, True)] * 58, GATES).passed


def test_slow_and_missing_answers_are_refused():
    assert answers_come([reply(1.0)] * 100, GATES).passed
    assert not answers_come([reply(1.0)] * 90 + [reply(11.0)] * 10, GATES).passed
    assert not answers_come([reply(1.0)] * 90 + [reply(1.0, "HTTP 500")] * 10, GATES).passed
    assert not answers_come([], GATES).passed


def test_cost_is_per_success():
    fast, slow = [reply(1.0)] * 10, [reply(2.0)] * 10

    def passes(champion: int, candidate: int, replies: list[Reply]) -> bool:
        sides = {"champion": (fast, champion), "candidate": (replies, candidate)}
        return cost_kept(sides, 8, 0.2, GATES).passed

    assert passes(5, 5, fast)
    assert not passes(5, 5, slow)
    assert passes(5, 10, slow), "twice the seconds for twice the successes"
    assert passes(0, 1, slow), "the champion had no success whose cost could rise"
    assert not passes(5, 0, fast)


def test_the_cost_is_the_machines():
    sides = {"champion": ([reply(36.0)] * 8, 4), "candidate": ([reply(36.0)] * 8, 8)}

    found = cost_kept(sides, 8, 1.0, GATES)

    assert found.figures["cost_per_success"] == {
        "champion": pytest.approx(0.0025),
        "candidate": pytest.approx(0.00125),
    }


def test_worse_means_beyond_the_margin_and_beyond_chance():
    assert is_worse(Pairs(30, 0, 8, 2), 0.05)
    assert not is_worse(Pairs(37, 0, 3, 0), 0.05), "three pairs are chance"
    assert not is_worse(Pairs(990, 0, 10, 0), 0.05), "within the margin"
