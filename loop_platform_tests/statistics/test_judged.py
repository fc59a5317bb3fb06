"""Evidence of judged pairs: what is missing or judged wrongly cannot help a candidate."""

import numpy as np
import pytest

from loop_platform.statistics.fronts import ERROR, Evidence, Goal, Paired, read
from loop_platform.statistics.judged import Judged
from loop_platform.statistics.tally import Tally


def pairs(wins: float, losses: float, ties: float) -> Tally:
    return Tally.of_pairs(wins, losses, ties)


def test_people_s_verdicts_on_every_pair_are_pairs_like_others() -> None:
    seen = pairs(40, 20, 100)
    judged, paired = Judged(seen, seen, keeps=1.0), Paired(seen)

    assert judged.lower(ERROR) == paired.lower(ERROR)
    assert judged.upper(ERROR) == paired.upper(ERROR)
    assert judged.e_below(-0.05) == paired.e_below(-0.05)
    assert (judged.n, judged.mean) == (160, pytest.approx(0.125))


def test_pairs_without_a_verdict_count_against_who_profits() -> None:
    known = Judged(pairs(40, 20, 100), pairs(40, 20, 100), keeps=1.0)
    open_ones = Judged(pairs(40, 50, 100), pairs(70, 20, 100), keeps=1.0)

    assert open_ones.lower(ERROR) < known.lower(ERROR) < known.upper(ERROR) < open_ones.upper(ERROR)
    assert open_ones.e_below(0.0) < known.e_below(0.0)


def test_a_judge_that_ties_too_often_holds_nothing() -> None:
    """Losses of a tenth of all pairs, of which a judge sees one in five: held within 5 points, were
    it believed."""
    seen = pairs(0, 20, 980)
    goals = {"believed": Goal("hold", 0.05), "known": Goal("hold", 0.05)}

    found = read({"believed": Paired(seen), "known": Judged(seen, seen, keeps=0.2)}, goals)

    assert found["believed"].verdict == "held"
    assert found["known"].verdict == "not known"
    assert found["known"].low < -0.1 < found["known"].high


def test_what_is_won_is_won_through_a_judge_too() -> None:
    seen = pairs(200, 50, 250)
    known = Judged(seen, seen, keeps=0.5)

    assert known.lower(ERROR) == Paired(seen).lower(ERROR) > 0
    assert known.upper(ERROR) == pytest.approx(2 * Paired(seen).upper(ERROR))
    assert known.e_below(-0.05) == Paired(seen).e_below(-0.05)


def test_a_judge_of_whom_nothing_shows_cannot_be_reckoned_with() -> None:
    with pytest.raises(ValueError, match="keeps 0"):
        Judged(pairs(1, 0, 0), pairs(1, 0, 0), keeps=0)
    with pytest.raises(ValueError, match=r"difference of 0\.1"):
        Judged(pairs(1, 0, 0), pairs(1, 0, 0), keeps=1).e_below(0.1)


def test_the_bounds_hold_the_truth_whoever_leaves_pairs_out() -> None:
    """A candidate half of whose losses nobody can judge, by a judge that errs, looked at over and
    over: what people would say lies within in 95 of 100 trials. It rarely does for who believes the
    verdicts that there are."""
    random = np.random.default_rng(11)
    truth, runs = -0.06, 100
    missed = {"here": 0, "believed": 0}
    for _ in range(runs):
        people = random.choice([-1, 0, 1], 2000, p=[0.16, 0.74, 0.10])
        # Right in eight of ten decided pairs, else a tie: a share of 0.8 of a difference shows.
        judge = np.where(random.random(people.size) < 0.8, people, 0).astype(float)
        silent = (judge == -1) & (random.random(people.size) < 0.5)
        worst, best = np.where(silent, -1.0, judge), np.where(silent, 1.0, judge)
        looks = (50, 200, 700, 2000)
        missed["here"] += not all(
            _holds(Judged(Tally.of(worst[:seen]), Tally.of(best[:seen]), keeps=0.8), truth)
            for seen in looks
        )
        missed["believed"] += not all(
            _holds(Paired(Tally.of(judge[:seen][~silent[:seen]])), truth) for seen in looks
        )

    assert missed["here"] <= 0.05 * runs
    assert missed["believed"] > 0.5 * runs


def _holds(known: Evidence, truth: float) -> bool:
    return known.lower(ERROR) <= truth <= known.upper(ERROR)
