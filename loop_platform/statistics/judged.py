"""Pairs that somebody judged: what is known when some were not, and when the judge errs.

The differences are +1 where the candidate's answer was found better, -1 where the champion's was, 0
for a tie.

*Which pairs may be judged, and which counted.* All pairs of the window count, in the order in which
they came. Two answers that are the same are a tie that nobody has to judge. To pick a pair because
its answers differ is therefore no bias: what was not picked counts too, as what it is. But to count
the ties and leave out pairs that differ and were not judged would dilute every difference to
nothing, and to judge those of which one can guess the verdict would make the guess the result. So a
pair that differs is judged, or ends the window: what came after it does not count yet. The window
grows with the verdicts, not with what they say, and any order of judging is valid. A budget that is
spent, or an endpoint that is away, ends it in the same way.

A pair that a judge was asked about and gave no verdict on cannot be left out either: whoever
profits would do well to give answers that cannot be judged. It counts as the worst for what is to
be shown: -1 for the lower bound, +1 for the upper bound and for losing. Bounds only move outwards
by that, so they hold as long as those of all verdicts would (C. F. Manski 2003, "Partial
Identification of Probability Distributions", chapter 1).

*A judge that errs* shows a difference smaller than it is. Where at least a share `keeps` of it
shows (loop_platform/judging/calibration.py), a bound on what was judged is one on what people would
say after division by `keeps`. It is used where it widens the interval and not where it would narrow
it. The bounds' error is then that of the interval and that of `keeps` together.
"""

from dataclasses import dataclass

from loop_platform.statistics import betting
from loop_platform.statistics.tally import Tally


@dataclass(frozen=True)
class Judged:
    """Evidence of judged pairs, as `loop_platform.statistics.fronts.Evidence`."""

    worst: Tally
    """Every pair without a verdict as lost."""
    best: Tally
    """Every pair without a verdict as won."""
    keeps: float
    """The least share of a difference that shows, in (0, 1]; 1 where people judged."""

    def __post_init__(self) -> None:
        if not 0 < self.keeps <= 1:
            raise ValueError(f"a judge that keeps {self.keeps!r} of a difference: give (0, 1]")

    @property
    def n(self) -> float:
        return self.worst.n

    @property
    def mean(self) -> float | None:
        """As it was judged; of what has no verdict, in the middle."""
        low, high = self.worst.mean, self.best.mean
        return None if low is None or high is None else (low + high) / 2

    def e_below(self, difference: float) -> float:
        """The e-value against "the mean is at least `difference`", of differences of at most 0.

        Were it at least that, what is judged would be too, for it shows less of a loss.

        Raises:
            ValueError: the difference is a gain, of which less might show.
        """
        if difference > 0:
            raise ValueError(f"a difference of {difference!r}: a judge may show less of a gain")
        return betting.e_below(self.best, difference)

    def lower(self, error: float) -> float:
        return self._stretched(betting.lower(self.worst, error), outwards=-1)

    def upper(self, error: float) -> float:
        return self._stretched(betting.upper(self.best, error), outwards=1)

    def _stretched(self, bound: float, outwards: int) -> float:
        """A lower bound that is negative, or an upper one that is positive, moves outwards."""
        if bound * outwards <= 0:
            return bound
        return max(-1.0, min(1.0, bound / self.keeps))
