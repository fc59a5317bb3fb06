"""Sequential intervals for the mean of what has no bound, such as tokens, out of three sums.

Bets need a bound that is not far from what is seen; of tokens there is none. For large samples the
central limit theorem has a form that holds at every look: I. Waudby-Smith, D. Arbour, R. Sinha, E.
H. Kennedy and A. Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52, 2613-2640, theorem 2.2. It is asymptotic: what is made of fewer
than `FEWEST` observations is no interval, and is not given.
"""

import math
from dataclasses import dataclass

FEWEST = 30

_TIGHTEST_AT = 100
"""Observations: there the interval is as narrow as it can be made."""


@dataclass(frozen=True)
class Moments:
    """How many observations there were, their sum, and the sum of their squares."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float | None:
        """None of nothing."""
        return self.total / self.n if self.n else None

    def lower(self, error: float) -> float:
        """What the mean is larger than, wrong in at most `error` of all trials, ever."""
        half = self._half(error)
        return -math.inf if half is None else self.total / self.n - half

    def upper(self, error: float) -> float:
        """What the mean is smaller than, wrong in at most `error` of all trials, ever."""
        half = self._half(error)
        return math.inf if half is None else self.total / self.n + half

    def _half(self, error: float) -> float | None:
        """Half of the interval that is wrong on either side in at most `error` of all trials."""
        if not 0 < error < 1:
            raise ValueError(f"an error of {error!r}: give one between 0 and 1")
        if self.n < FEWEST:
            return None
        variance = max(0.0, (self.squares - self.total**2 / self.n) / (self.n - 1))
        bits = -2 * math.log(error)
        rho = (bits + math.log(bits + 1)) / _TIGHTEST_AT
        grown = self.n * rho + 1
        return math.sqrt(
            variance * 2 * grown / (self.n**2 * rho) * math.log(math.sqrt(grown) / error)
        )
