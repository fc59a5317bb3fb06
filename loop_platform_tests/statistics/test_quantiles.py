import random

import pytest

from loop_platform.statistics.quantiles import quantile


def test_a_quantile_is_the_smallest_value_with_its_share_at_or_below():
    found = quantile(list(range(1, 101)), 0.95)

    assert (found.value, found.n) == (95, 100)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 95 < found.high


def test_few_values_bound_nothing_from_above():
    assert quantile([1.0, 2.0, 3.0], 0.95).high is None


def test_no_values_have_no_quantile():
    assert quantile([], 0.5).value is None


def test_a_share_of_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile([1.0], 1.0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = random.Random(3)
    covered = 0
    for _ in range(1000):
        found = quantile([generator.random() for _ in range(60)], 0.5)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high

    assert covered / 1000 >= 0.945
