"""Two groups of calls: does one fail more often?

The test is Fisher's, exact and one-sided (R. A. Fisher 1935, "The logic of inductive inference",
JRSS 98, 39-82). The interval of the difference is method 10 of R. G. Newcombe (1998), "Interval
estimation for the difference between independent proportions", Statistics in Medicine 17, 873-890.
"""

import math

from loop_platform.statistics.paired import Difference
from loop_platform.statistics.proportions import CONFIDENCE, Rate


def p_more(candidate: Rate, champion: Rate) -> float:
    """One-sided p-value of "the candidate's share is no higher"."""
    total = candidate.successes + champion.successes
    everything = candidate.n + champion.n
    highest = min(total, candidate.n)
    ways = sum(
        math.comb(candidate.n, k) * math.comb(champion.n, total - k)
        for k in range(candidate.successes, highest + 1)
    )
    return ways / math.comb(everything, total)


def difference(candidate: Rate, champion: Rate, confidence: float = CONFIDENCE) -> Difference:
    """Candidate minus champion, with Newcombe's interval for independent groups."""
    new = Rate.of(candidate.successes, candidate.n, confidence)
    old = Rate.of(champion.successes, champion.n, confidence)
    if new.rate is None or old.rate is None:
        return Difference(None, -1.0, 1.0)
    value = new.rate - old.rate
    return Difference(
        value,
        value - math.hypot(new.rate - new.low, old.high - old.rate),
        value + math.hypot(new.high - new.rate, old.rate - old.low),
    )
