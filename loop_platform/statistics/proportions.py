"""A share, with its interval: Wilson's score interval.

E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
JASA 22, 209-212. Recommended for small n by Brown, Cai and DasGupta (2001), Statistical Science 16.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """`successes` of `n`, and the interval in which the true share lies."""

    successes: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, successes: int, n: int, confidence: float = CONFIDENCE) -> "Rate":
        return cls(successes, n, *wilson(successes, n, confidence))

    @property
    def rate(self) -> float | None:
        """The share seen; None of nothing."""
        return self.successes / self.n if self.n else None

    def as_evidence(self) -> dict[str, float | int | None]:
        return {"rate": self.rate, "n": self.n, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.rate is None:
            return "no rows"
        return f"{self.rate:.1%} (n {self.n}, {self.low:.1%} to {self.high:.1%})"


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share; everything from 0 to 1 where n is 0.

    Raises:
        ValueError: there are more successes than rows, or less than none.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} rows: there cannot be")
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(confidence)
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + spread) / scale)
    return low, high


def normal_quantile(confidence: float) -> float:
    """The z of a two-sided interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence!r}: give one between 0 and 1")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
