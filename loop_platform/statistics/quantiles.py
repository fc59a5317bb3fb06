"""A quantile, with an interval that assumes nothing about the distribution.

The number of values below the true quantile is binomial, so two order statistics enclose it (W. R.
Thompson 1936, Annals of Mathematical Statistics 7; David and Nagaraja, "Order Statistics", 7.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loop_platform.statistics.proportions import CONFIDENCE


@dataclass(frozen=True)
class Quantile:
    """The value that a share of the values lies at or below."""

    share: float
    value: float | None
    n: int
    low: float | None
    """None where n is too small for a bound on this side."""
    high: float | None

    def as_evidence(self) -> dict[str, float | int | None]:
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


def quantile(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Quantile:
    """The quantile of `values` (the smallest value with at least `share` at or below it)."""
    if not 0 < share < 1:
        raise ValueError(f"a quantile of {share!r}: give a share between 0 and 1")
    ordered, n = sorted(values), len(values)
    if n == 0:
        return Quantile(share, None, 0, None, None)
    tail = (1 - confidence) / 2
    # As many values as these lie below the true quantile, with the chance that is left each side.
    lower = _binomial_quantile(n, share, tail)
    upper = _binomial_quantile(n, share, 1 - tail)
    return Quantile(
        share,
        ordered[max(0, math.ceil(share * n) - 1)],
        n,
        ordered[lower - 1] if lower >= 1 else None,
        ordered[upper] if upper < n else None,
    )


def _binomial_quantile(n: int, share: float, chance: float) -> int:
    """The smallest k that a binomial stays at or below with this chance."""
    total = 0.0
    for k in range(n + 1):
        logarithm = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(logarithm + k * math.log(share) + (n - k) * math.log1p(-share))
        if total >= chance:
            return k
    return n
