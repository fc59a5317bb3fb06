import math

import numpy as np
import pytest

from loop_platform.statistics.betting import (
    LOG_WEIGHTS,
    STAKES,
    e_above,
    e_below,
    gains,
    interval,
    log_e_above,
    lower,
    upper,
)
from loop_platform.statistics.tally import Array, Tally
from loop_platform_tests.statistics.chances import at_least, at_most, pairs, pairs_needed

OUTCOMES: Array = np.array([-1.0, 0.0, 1.0])
RUNS = 2000


def first_crossing(outcomes: "np.ndarray", mean: float, error: float) -> "np.ndarray":
    """When each run, looking after every pair, first refuted "the mean is at most `mean`"; -1 for
    never. Shape of `outcomes` (runs, pairs): places in OUTCOMES.
    """
    factors = gains(mean, OUTCOMES)
    capital = np.tile(np.exp(LOG_WEIGHTS), (len(outcomes), 1))
    found = np.full(len(outcomes), -1)
    for at, seen in enumerate(outcomes.T):
        capital *= factors[seen]
        now = capital.sum(axis=1) >= 1 / error
        found[now & (found < 0)] = at + 1
    return found


def test_the_weights_are_a_start_capital_of_one():
    assert np.exp(LOG_WEIGHTS).sum() == pytest.approx(1)
    assert e_above(Tally.of(), 0.0) == pytest.approx(1)


def test_a_streak_of_wins_has_its_closed_form():
    expected = sum(np.exp(LOG_WEIGHTS) * (1 + STAKES) ** 12)

    assert e_above(Tally.of_pairs(12, 0, 0), 0.0) == pytest.approx(expected)


def test_against_no_difference_ties_say_nothing():
    without, with_ties = Tally.of_pairs(9, 4, 0), Tally.of_pairs(9, 4, 5000)

    assert e_above(with_ties, 0.0) == pytest.approx(e_above(without, 0.0))


def test_against_a_loss_ties_speak_for_the_candidate():
    values = [e_above(Tally.of_pairs(0, 0, ties), -0.05) for ties in (0, 50, 100, 200)]

    assert values == sorted(values)
    assert values[-1] > 40


def test_counting_and_playing_pair_by_pair_come_to_the_same():
    seen = pairs(np.random.default_rng(1), (1, 300), win=0.2, loss=0.1)[0]
    played = np.exp(LOG_WEIGHTS) * np.prod(gains(-0.02, OUTCOMES)[seen], axis=0)

    counted = log_e_above(np.bincount(seen, minlength=3).astype(float), -0.02, OUTCOMES)

    assert math.log(played.sum()) == pytest.approx(float(counted))


def test_the_order_of_the_pairs_does_not_matter():
    values = np.random.default_rng(2).uniform(-1, 1, 200)

    assert lower(Tally.of(values), 0.05) == lower(Tally.of(values[::-1]), 0.05)


def test_champion_and_candidate_in_each_others_place_mirror_the_interval():
    seen = Tally.of_pairs(70, 31, 500)
    here, there = interval(seen), interval(seen.mirrored())

    assert (here.low, here.high) == pytest.approx((-there.high, -there.low))
    assert e_above(seen, 0.1) == pytest.approx(e_below(seen.mirrored(), -0.1))


def test_one_more_win_never_speaks_against_the_candidate():
    for ties in (0, 40):
        bounds = [lower(Tally.of_pairs(wins, 5, ties), 0.05) for wins in range(30)]
        assert bounds == sorted(bounds)


def test_a_higher_hurdle_is_never_easier():
    seen = Tally.of_pairs(60, 20, 100)
    e_values = [e_above(seen, mean) for mean in np.linspace(-0.9, 0.9, 40)]

    assert e_values == sorted(e_values, reverse=True)


def test_an_interval_is_where_the_e_value_says_so():
    seen = Tally.of_pairs(75, 25, 900)
    found = interval(seen, 0.95)

    assert e_above(seen, found.low) == pytest.approx(40, rel=1e-2)
    assert e_below(seen, found.high) == pytest.approx(40, rel=1e-2)
    assert found.low < 0.05 < found.high


def test_more_confidence_is_a_wider_interval():
    seen = Tally.of_pairs(75, 25, 900)
    wide, narrow = interval(seen, 0.99), interval(seen, 0.9)

    assert wide.low < narrow.low < narrow.high < wide.high


def test_of_nothing_everything_is_possible():
    found = interval(Tally.of())

    assert (found.low, found.high) == (-1, 1)


def test_millions_narrow_the_interval_down():
    found = interval(Tally.of_pairs(750_000, 250_000, 9_000_000))

    assert found.low == pytest.approx(0.05, abs=1e-3)
    assert found.high - found.low < 2e-3


def test_what_cannot_be_bet_on_is_refused():
    with pytest.raises(ValueError, match="beyond"):
        e_above(Tally.of([0.5]), -1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        upper(Tally.of([0.5]), 0.0)


@pytest.mark.parametrize("win", [0.25, 0.05, 0.01])
def test_looking_after_every_pair_refutes_the_truth_no_more_often_than_stated(win: float):
    seen = pairs(np.random.default_rng(3), (RUNS, 1500), win, win)

    false_alarms = int((first_crossing(seen, 0.0, 0.05) > 0).sum())

    assert at_most(0.05, false_alarms, RUNS), false_alarms


def test_a_loss_at_the_margin_is_let_through_no_more_often_than_stated():
    seen = pairs(np.random.default_rng(4), (RUNS, 1500), win=0.04, loss=0.06)

    assert at_most(0.05, int((first_crossing(seen, -0.02, 0.05) > 0).sum()), RUNS)


def test_the_interval_holds_the_truth_at_all_looks_together():
    """A bound passes the truth exactly when the e-value against the truth passes 1/error."""
    seen = pairs(np.random.default_rng(5), (RUNS, 1500), win=0.10, loss=0.05)
    low = first_crossing(seen, 0.05, 0.025) > 0
    high = first_crossing(2 - seen, -0.05, 0.025) > 0

    assert at_least(0.95, RUNS - int((low | high).sum()), RUNS)


def test_scores_between_success_and_failure_are_covered_too():
    generator = np.random.default_rng(6)
    missed, runs = 0, 300
    for _ in range(runs):
        values = np.clip(generator.beta(2, 3, 400) - generator.beta(2, 3, 400), -1, 1)
        looks = [Tally.of(values[:n]) for n in (5, 20, 60, 150, 400)]
        missed += any(max(e_above(seen, 0.0), e_below(seen, 0.0)) >= 40 for seen in looks)

    assert at_most(0.05, missed, runs)


def test_a_candidate_that_is_better_is_seen_about_as_soon_as_by_a_test_of_fixed_size():
    seen = pairs(np.random.default_rng(7), (400, 1500), win=0.075, loss=0.025)
    found = first_crossing(seen, 0.0, 0.025)

    assert (found > 0).mean() > 0.99
    assert np.median(found) < 1.5 * pairs_needed(0.05, 0.1, 0.025)
