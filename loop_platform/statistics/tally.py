"""What is remembered of bounded observations: how many there were of each value.

Observations lie in [-1, 1]: the difference of a pair (candidate minus champion, each in [0, 1]), or
a relative difference. A value between two points of the grid counts partly as one and partly as the
other, so that the mean stays what it was. This can only lose evidence: a bet's gain is
log(1 + λ(x - m)), concave in x, and a chord lies below its curve.

The size of a tally does not grow with what it has seen. Adding to it is the whole update: ten
million pairs of history cost no more to decide on than ten.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_STEPS = 100
GRID: Array = np.arange(-_STEPS, _STEPS + 1) / _STEPS
"""The values that are told apart; -1, 0 and 1 are among them, so that successes lose nothing."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts over `GRID`."""

    counts: Array

    @classmethod
    def of(cls, values: Iterable[float] = ()) -> "Tally":
        """Count values in [-1, 1].

        Raises:
            ValueError: one lies outside, or is no number.
        """
        seen = np.fromiter(values, np.float64)
        outside = seen[~(np.abs(seen) <= 1)]
        if outside.size:
            raise ValueError(f"an observation of {outside[0]:g}: give differences in [-1, 1]")
        place = (seen + 1) * _STEPS
        below = np.minimum(np.floor(place).astype(np.int64), 2 * _STEPS - 1)
        above = place - below
        counts = np.zeros(GRID.size)
        np.add.at(counts, below, 1 - above)
        np.add.at(counts, below + 1, above)
        return cls(counts)

    @classmethod
    def of_pairs(cls, wins: float, losses: float, ties: float) -> "Tally":
        """Pairs of success or failure: won by the candidate alone, by the champion alone, rest."""
        counts = np.zeros(GRID.size)
        counts[[-1, 0, _STEPS]] = wins, losses, ties
        return cls(counts)

    @classmethod
    def of_share(cls, share_of: int, n: int) -> "Tally":
        """`share_of` of `n` rows: 1 for each of them and -1 for the others (see `as_share`)."""
        return cls.of_pairs(share_of, n - share_of, 0)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.counts + other.counts)

    def mirrored(self) -> "Tally":
        """Champion and candidate, or success and failure, in each other's place."""
        return Tally(self.counts[::-1])

    @property
    def n(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """None of nothing."""
        return float(self.counts @ GRID) / self.n if self.n else None


def as_share(value: float) -> float:
    """A mean of `Tally.of_share`, or a bound of it, as a share of the rows."""
    return (value + 1) / 2
