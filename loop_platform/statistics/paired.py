"""Two answers to the same prompts: did one succeed more often?

The test is McNemar's, exact: of the pairs that differ, each side wins half under the null, so the
number of wins is binomial (McNemar 1947, Psychometrika 12; it is the sign test of the pairs that
differ). The interval of the difference is Newcombe's square-and-add with the correction for pairs,
method 10 of R. G. Newcombe (1998), Statistics in Medicine 17, 2635-2650.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loop_platform.statistics.proportions import CONFIDENCE, wilson


@dataclass(frozen=True)
class Pairs:
    """The two-by-two table of a comparison: how many pairs came out in each way."""

    both: int
    only_candidate: int
    only_champion: int
    neither: int

    @classmethod
    def of(cls, champion: Sequence[bool], candidate: Sequence[bool]) -> "Pairs":
        """Count; the n-th of one belongs to the n-th of the other."""
        seen = list(zip(champion, candidate, strict=True))
        return cls(
            both=seen.count((True, True)),
            only_candidate=seen.count((False, True)),
            only_champion=seen.count((True, False)),
            neither=seen.count((False, False)),
        )

    @property
    def n(self) -> int:
        return self.both + self.only_candidate + self.only_champion + self.neither

    @property
    def champion(self) -> int:
        """Successes of the champion."""
        return self.both + self.only_champion

    @property
    def candidate(self) -> int:
        """Successes of the candidate."""
        return self.both + self.only_candidate


@dataclass(frozen=True)
class Difference:
    """Candidate minus champion, with its interval."""

    value: float | None
    low: float
    high: float

    def as_evidence(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}


def p_better(pairs: Pairs) -> float:
    """One-sided p-value of "the candidate is no better"."""
    return binomial_tail(pairs.only_candidate, pairs.only_candidate + pairs.only_champion)


def p_worse(pairs: Pairs) -> float:
    """One-sided p-value of "the candidate is no worse"."""
    return binomial_tail(pairs.only_champion, pairs.only_candidate + pairs.only_champion)


def p_different(pairs: Pairs) -> float:
    """Two-sided p-value of "they are alike"."""
    return min(1.0, 2 * min(p_better(pairs), p_worse(pairs)))


def difference(pairs: Pairs, confidence: float = CONFIDENCE) -> Difference:
    """Candidate minus champion, with Newcombe's interval for pairs."""
    n = pairs.n
    if n == 0:
        return Difference(None, -1.0, 1.0)
    new, old = pairs.candidate / n, pairs.champion / n
    new_low, new_high = wilson(pairs.candidate, n, confidence)
    old_low, old_high = wilson(pairs.champion, n, confidence)
    phi = _correlation(pairs)
    value = new - old
    return Difference(
        value,
        max(-1.0, value - _spread(new - new_low, old_high - old, phi)),
        min(1.0, value + _spread(new_high - new, old - old_low, phi)),
    )


def binomial_tail(wins: int, n: int) -> float:
    """The chance of `wins` or more heads in `n` throws of a fair coin."""
    ways: int = sum(math.comb(n, k) for k in range(wins, n + 1))
    return ways / (1 << n)


def _correlation(pairs: Pairs) -> float:
    """Newcombe's phi: the correlation in the table, with his correction for small n."""
    margins = (
        pairs.champion * pairs.candidate * (pairs.n - pairs.champion) * (pairs.n - pairs.candidate)
    )
    if margins == 0:
        return 0.0
    product = pairs.both * pairs.neither - pairs.only_candidate * pairs.only_champion
    corrected = max(product - pairs.n / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(margins)


def _spread(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))
