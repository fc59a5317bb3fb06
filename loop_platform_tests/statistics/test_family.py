import itertools

import numpy as np
import pytest

from loop_platform.statistics.betting import log_e_above
from loop_platform.statistics.family import adjusted
from loop_platform_tests.statistics.chances import at_most, pairs


def test_one_hypothesis_needs_no_adjusting():
    assert adjusted({"a": 25.0}) == {"a": 25.0}


def test_nothing_comes_of_nothing():
    assert adjusted({}) == {}


def test_each_is_as_strong_as_the_weakest_set_that_it_belongs_to():
    e_values = dict(zip("abcd", (90.0, 30.0, 2.0, 0.1), strict=True))

    found = adjusted(e_values)

    for name, own in e_values.items():
        others = [e for other, e in e_values.items() if other != name]
        sets = [
            (own, *some)
            for size in range(len(others) + 1)
            for some in itertools.combinations(others, size)
        ]
        assert found[name] == pytest.approx(min(np.mean(each) for each in sets))


def test_adjusting_never_makes_stronger_and_keeps_the_order():
    e_values = {
        str(at): float(e) for at, e in enumerate(np.random.default_rng(1).exponential(9, 12))
    }
    found = adjusted(e_values)

    assert all(found[name] <= e_values[name] for name in e_values)
    assert sorted(e_values, key=e_values.__getitem__) == sorted(found, key=found.__getitem__)


def test_eight_slices_together_raise_no_more_false_alarms_than_one():
    """Nobody lost; each slice is looked at 20 times."""
    generator, runs, slices = np.random.default_rng(2), 1000, 8
    seen = pairs(generator, (runs * slices, 400), 0.1, 0.1).reshape(runs, slices, 400)
    alarmed = np.zeros(runs, bool)
    for n in range(20, 401, 20):
        looked_at = seen[:, :, :n]
        counts = np.stack([(looked_at == place).sum(axis=2) for place in range(3)], axis=-1)
        against = np.exp(log_e_above(counts.astype(float), 0.0, np.array([-1.0, 0.0, 1.0])))
        for run in range(runs):
            family = adjusted({str(at): float(e) for at, e in enumerate(against[run])})
            alarmed[run] |= max(family.values()) >= 20

    assert at_most(0.05, int(alarmed.sum()), runs)
