"""Two groups of calls that arrive mixed, as pairs.

A canary's calls have no partners: a caller gets one answer. So what arrives is cut into blocks,
each as short as it can be with both sides in it, and a block counts as one pair: the mean of the
candidate's calls minus that of the champion's. With 5 % of the traffic that is one call beside some
nineteen, and the champion's part adds almost no noise. Where a block ends depends on who was asked
and never on what came of it, so each difference has the mean that is asked about, also while the
traffic itself changes: both sides of a block met the same hour.

The blocks are those of R. J. Turner, A. Ly and P. D. Grünwald (2024), "Generic e-variables for
exact sequential k-sample tests that allow for optional stopping", Journal of Statistical Planning
and Inference 230.
"""

from collections.abc import Iterable


def differences(calls: Iterable[tuple[bool, float]]) -> list[float]:
    """Of each block candidate minus champion, from calls in the order in which they came.

    A call is (whether the candidate answered it, its score in [0, 1]). What is left at the end,
    with one side missing, waits for its other side.
    """
    found, candidate, champion = [], list[float](), list[float]()
    for is_candidates, score in calls:
        (candidate if is_candidates else champion).append(score)
        if candidate and champion:
            found.append(sum(candidate) / len(candidate) - sum(champion) / len(champion))
            candidate, champion = [], []
    return found
