import numpy as np
import pytest

from loop_platform.statistics.bootstrap import bootstrap


def test_the_mean_of_many_rows_has_the_interval_of_the_normal_distribution():
    rows = np.random.default_rng(1).normal(10.0, 2.0, 400)

    found = bootstrap(rows, lambda drawn: float(drawn.mean()))

    assert found.value == pytest.approx(rows.mean())
    assert (found.low, found.high) == pytest.approx(
        (rows.mean() - 0.196, rows.mean() + 0.196), abs=0.03
    )


def test_the_same_rows_give_the_same_interval():
    rows = np.arange(40.0)

    assert bootstrap(rows, np.median) == bootstrap(rows, np.median)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="nothing to draw from"):
        bootstrap(np.array([]), np.median)
