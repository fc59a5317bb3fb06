"""An interval for any number computed from rows, by drawing rows again.

The percentile interval of B. Efron and R. Tibshirani (1993), "An Introduction to the Bootstrap",
chapter 13. It needs some thirty rows to mean what it says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loop_platform.statistics.proportions import CONFIDENCE

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, and the interval in which the true one lies."""

    value: float
    n: int
    low: float
    high: float

    def as_evidence(self) -> dict[str, float | int]:
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


def bootstrap(
    rows: Rows,
    statistic: Callable[[Rows], float],
    *,
    draws: int = 2000,
    confidence: float = CONFIDENCE,
    seed: int = 17,
) -> Estimate:
    """`statistic` of `rows` (along the first axis), with its percentile interval.

    Raises:
        ValueError: there are no rows.
    """
    n = len(rows)
    if n == 0:
        raise ValueError("a bootstrap of no rows: there is nothing to draw from")
    generator = np.random.default_rng(seed)
    drawn = [statistic(rows[generator.integers(0, n, n)]) for _ in range(draws)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(float(statistic(rows)), n, float(low), float(high))
