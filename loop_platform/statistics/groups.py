"""Two groups of calls that arrive mixed: does the candidate's fail more often than the champion's?

A canary's calls have no partners, since a caller gets one answer. Against "the candidate's share of
successes is at most the champion's plus d" one bets on both at once. Were the champion's share q,
the candidate's would be at most q + d, and two games could be played: on the candidate's being more
than that, on the champion's being less than q. No true q lets their product be expected to grow, so
the smallest product over all q is an e-process of the hypothesis, whatever the champion's share is:
inference with a nuisance parameter as in R. J. Turner, A. Ly and P. D. Grünwald (2024), "Generic
e-variables for exact sequential k-sample tests that allow for optional stopping", Journal of
Statistical Planning and Inference 230, with the bets of loop_platform/statistics/betting.py.

A failure that the champion never has counts for much more here than in a difference of pairs: the
stake that it wins is as large as failures are rare.

What is asked of the calls: both groups meet the same traffic at the same time. What changes for
both alike (a bad hour) then changes both shares, and the counts alone decide.
"""

import math
from dataclasses import dataclass

import numpy as np

from loop_platform.statistics.betting import LOG_WEIGHTS, STAKES
from loop_platform.statistics.tally import Array

_STEPS = 1000
_SHARES: Array = np.arange(_STEPS + 1) / _STEPS
_PRECISION = 1e-4


@dataclass(frozen=True)
class Groups:
    """How many calls of each side succeeded, of how many."""

    candidate: int
    of_candidate: int
    champion: int
    of_champion: int

    def __post_init__(self) -> None:
        for successes, n in (
            (self.candidate, self.of_candidate),
            (self.champion, self.of_champion),
        ):
            if not 0 <= successes <= n:
                raise ValueError(f"{successes} successes of {n} calls: there cannot be")

    @property
    def n(self) -> float:
        """The candidate's calls: there are always fewer of them."""
        return float(self.of_candidate)

    @property
    def mean(self) -> float | None:
        """Candidate minus champion; None where one side has no calls."""
        if not self.of_candidate or not self.of_champion:
            return None
        return self.candidate / self.of_candidate - self.champion / self.of_champion

    def mirrored(self) -> "Groups":
        """Failures for successes, on both sides."""
        return Groups(
            self.of_candidate - self.candidate,
            self.of_candidate,
            self.of_champion - self.champion,
            self.of_champion,
        )

    def e_above(self, difference: float) -> float:
        """The e-value against "the candidate's share is at most the champion's plus this"."""
        return math.exp(min(_log_e_above(self, difference), 700.0))

    def e_below(self, difference: float) -> float:
        """The e-value against "the candidate's share is at least the champion's plus this"."""
        return self.mirrored().e_above(-difference)

    def lower(self, error: float) -> float:
        """What the difference is larger than, wrong in at most `error` of all trials, ever."""
        if self.mean is None:
            return -1.0
        low, high, needed = -1.0, self.mean, -math.log(error)
        while high - low > _PRECISION:
            middle = (low + high) / 2
            if _log_e_above(self, middle) >= needed:
                low = middle
            else:
                high = middle
        return low

    def upper(self, error: float) -> float:
        """What the difference is smaller than, wrong in at most `error` of all trials, ever."""
        return -self.mirrored().lower(error)


def _log_e_above(seen: Groups, difference: float) -> float:
    """The smallest product over the champion's share.

    Between two neighbouring shares the candidate's game is worth at least what it is at the upper
    one, the champion's at least what it is at the lower: the bound holds for every share between.
    """
    hurdle = _SHARES[1:] + difference
    possible = hurdle > 0
    if not possible.any():
        return math.inf
    candidate = _log_share_above(seen.candidate, seen.of_candidate, hurdle[possible])
    failures = seen.of_champion - seen.champion
    champion = _log_share_above(failures, seen.of_champion, 1 - _SHARES[:-1][possible])
    # Half is not bet: the champion is many calls, and it rarely is what is surprising.
    hedged = np.logaddexp(champion, 0.0) - math.log(2)
    return float((candidate + hedged).min())


def _log_share_above(successes: int, n: int, share: Array) -> Array:
    """Logarithm of the e-value against "the share of successes is at most `share`", each.

    On observations 0 and 1 the largest stake is 1 / share; at 1 there is nothing to bet on.
    """
    bounded = np.minimum(share, 1.0)[:, None]
    won = np.log1p(STAKES * (1 - bounded) / bounded)
    lost = np.log1p(-STAKES)
    capitals = successes * won + (n - successes) * lost + LOG_WEIGHTS
    logarithm: Array = np.logaddexp.reduce(capitals, axis=1)
    logarithm[share >= 1] = 0.0
    return logarithm
