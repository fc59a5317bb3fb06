"""A share with its n and its 95 % interval: no figure of the demo is shown without."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_Z = 1.959964


@dataclass(frozen=True)
class Share:
    """How many of n succeeded, with Wilson's interval."""

    successes: int
    n: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> "Share":
        outcomes = list(outcomes)
        return cls(sum(outcomes), len(outcomes))

    @property
    def rate(self) -> float:
        return self.successes / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if self.n == 0:
            return 0.0, 1.0
        p, n, z2 = self.rate, self.n, _Z**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "rate": round(self.rate, 4),
            "n": self.n,
            "low": round(low, 4),
            "high": round(high, 4),
        }


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
