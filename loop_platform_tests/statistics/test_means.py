import math

import numpy as np
import pytest

from loop_platform.statistics.means import FEWEST, Moments
from loop_platform_tests.statistics.chances import at_most


def moments(values: "np.ndarray") -> Moments:
    return Moments(values.size, float(values.sum()), float((values**2).sum()))


def test_the_interval_is_around_the_mean_and_narrows():
    values = np.random.default_rng(3).exponential(40, 4000)
    few, many = moments(values[:100]), moments(values)

    assert few.lower(0.025) < 40 < few.upper(0.025)
    assert many.upper(0.025) - many.lower(0.025) < 0.3 * (few.upper(0.025) - few.lower(0.025))
    assert many.mean == pytest.approx(values.mean())


def test_too_few_observations_bound_nothing():
    seen = moments(np.ones(FEWEST - 1))

    assert (seen.lower(0.025), seen.upper(0.025)) == (-math.inf, math.inf)
    assert Moments(0, 0.0, 0.0).mean is None


def test_what_is_always_the_same_is_known():
    seen = moments(np.full(FEWEST, 7.0))

    assert seen.lower(0.025) == seen.upper(0.025) == pytest.approx(7)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_skewed_lengths_are_misjudged_no_more_often_than_stated(spread: float):
    """Looked at after each of 500 answers, beside a champion with twenty times as many."""
    generator, runs, mean = np.random.default_rng(5), 300, math.exp(spread**2 / 2)
    values = generator.lognormal(0, spread, (runs, 500))
    missed = sum(
        any(moments(run[:n]).lower(0.025) > mean for n in range(FEWEST, 501, 5)) for run in values
    )

    assert at_most(0.025, missed, runs)


def test_an_impossible_error_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        Moments(1, 1.0, 1.0).lower(1.0)
