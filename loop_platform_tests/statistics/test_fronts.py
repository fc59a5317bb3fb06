import pytest

from loop_platform.statistics.fronts import Goal, Paired, read, together
from loop_platform.statistics.tally import Tally

WIN, HOLD, WATCH = Goal("win", 0.05), Goal("hold", 0.05), Goal("watch", 0.05)

NOTHING = Paired(Tally.of())


def seen(wins: int, losses: int, ties: int) -> Paired:
    return Paired(Tally.of_pairs(wins, losses, ties))


GOOD, SAME, BAD = seen(40, 5, 100), seen(2, 2, 400), seen(5, 60, 100)


def verdict(evidence: Paired, goal: Goal) -> str:
    return read({"front": evidence}, {"front": goal})["front"].verdict


@pytest.mark.parametrize(
    ("evidence", "goal", "expected", "met"),
    [
        (GOOD, WIN, "won", True),
        (GOOD, HOLD, "won", True),
        (SAME, WIN, "held", False),
        (SAME, HOLD, "held", True),
        (BAD, WIN, "lost", False),
        (BAD, HOLD, "lost", False),
        (BAD, WATCH, "lost", False),
        (NOTHING, WIN, "not known", False),
        (NOTHING, HOLD, "not known", False),
        (NOTHING, WATCH, "not known", True),
    ],
)
def test_a_front_is_won_held_lost_or_not_known(
    evidence: Paired, goal: Goal, expected: str, met: bool
):
    found = read({"front": evidence}, {"front": goal})["front"]

    assert (found.verdict, found.met) == (expected, met)


def test_a_small_loss_is_lost_where_a_win_is_asked_for_and_not_where_it_may_be():
    slightly_worse = seen(300, 500, 9200)

    assert verdict(slightly_worse, WIN) == "lost"
    assert verdict(slightly_worse, HOLD) == "held"


def test_a_margin_of_one_puts_up_with_everything():
    assert verdict(BAD, Goal("hold", 1.0)) == "held"
    assert verdict(NOTHING, Goal("hold", 1.0)) == "not known"


def test_every_front_has_to_be_met():
    readings = read({"a": GOOD, "b": SAME}, {"a": WIN, "b": HOLD})
    assert together(readings) == "passed"
    readings = read({"a": GOOD, "b": SAME, "c": NOTHING}, {"a": WIN, "b": HOLD, "c": HOLD})
    assert together(readings) == "not known"
    readings = read({"a": GOOD, "b": BAD}, {"a": WIN, "b": HOLD})
    assert together(readings) == "failed"


def test_a_candidate_of_whom_nothing_is_asked_is_not_let_through():
    assert together({}) == "not known"


def test_a_slice_that_looks_bad_alone_is_not_lost_among_many():
    unlucky = seen(0, 9, 1)
    goals = {"unlucky": HOLD, **{f"slice {at}": HOLD for at in range(40)}}
    others = {name: seen(20, 20, 20) for name in goals if name != "unlucky"}

    assert verdict(unlucky, HOLD) == "lost"
    assert read({"unlucky": unlucky, **others}, goals)["unlucky"].verdict == "not known"


def test_a_reading_is_shown_with_n_and_interval():
    shown = read({"a": GOOD}, {"a": WIN})["a"].as_evidence()

    assert shown["n"] == 145
    assert 0 < shown["low"] < shown["mean"] < shown["high"]
