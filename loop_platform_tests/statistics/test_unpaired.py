import pytest

from loop_platform.statistics.proportions import Rate
from loop_platform.statistics.unpaired import difference, p_more


def test_fishers_test_agrees_with_scipy():
    from scipy.stats import fisher_exact

    for a, n, b, m in [(3, 20, 5, 400), (0, 20, 0, 400), (20, 20, 0, 400), (1, 7, 100, 300)]:
        expected = fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue
        assert p_more(Rate.of(a, n), Rate.of(b, m)) == pytest.approx(expected)


def test_the_interval_agrees_with_the_published_table():
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
    found = difference(Rate.of(56, 70), Rate.of(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    found = difference(Rate.of(9, 10), Rate.of(3, 10))
    assert (found.low, found.high) == pytest.approx((0.1705, 0.8090), abs=1e-4)


def test_an_empty_group_tells_nothing():
    assert difference(Rate.of(0, 0), Rate.of(3, 10)).value is None
    assert p_more(Rate.of(0, 0), Rate.of(3, 10)) == 1.0
