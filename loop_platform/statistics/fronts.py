"""Fronts: what is known of each dimension in which a candidate has to win or to hold, now.

A front is won when the lower bound of the mean difference is above zero, held when it is above
minus the margin (non-inferiority), lost when the mean is shown to be below what was to be shown.
Everything else is "not known", and not known does not pass. Bounds and verdicts hold at every look
together (loop_platform/statistics/betting.py).

Several fronts are one decision:

- *Passing* takes all of them, each at the full error rate: to let a bad candidate through, the very
  front on which it is bad has to err. This is the intersection-union test, R. L. Berger (1982),
  "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 295-300. More
  fronts and slices never make a wrong promotion likelier.
- *Losing* takes any one of them, and of many slices one soon looks bad by luck. So the family-wise
  error of all losses together is held (loop_platform/statistics/family.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from loop_platform.statistics.aim import Aim, Verdict
from loop_platform.statistics.betting import e_below, lower, upper
from loop_platform.statistics.family import adjusted
from loop_platform.statistics.tally import Tally

ERROR = 0.025
"""Of each side: what lies between two bounds is a 95 % interval."""


@dataclass(frozen=True)
class Goal:
    """What has to be shown, and the loss that is put up with."""

    aim: Aim
    margin: float

    @property
    def lost_below(self) -> float:
        """The mean that a candidate must not be shown to lie under."""
        return 0.0 if self.aim == "win" else -self.margin

    def met(self, verdict: Verdict) -> bool:
        """Whether this is enough to pass."""
        match self.aim:
            case "win":
                return verdict == "won"
            case "hold":
                return verdict in ("won", "held")
            case "watch":
                return verdict != "lost"


@dataclass(frozen=True)
class Reading:
    """A front at one moment."""

    goal: Goal
    n: float
    mean: float | None
    low: float
    high: float
    verdict: Verdict

    @property
    def met(self) -> bool:
        return self.goal.met(self.verdict)

    def as_evidence(self) -> dict[str, Any]:
        return {
            "aim": self.goal.aim,
            "margin": self.goal.margin,
            "n": round(self.n),
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "verdict": self.verdict,
        }


def read(
    tallies: Mapping[str, Tally], goals: Mapping[str, Goal], error: float = ERROR
) -> dict[str, Reading]:
    """Every front as it stands.

    `tallies` hold differences, candidate minus champion, where more is better; a front that nothing
    was seen of needs an empty one.

    Raises:
        KeyError: a front has no goal.
    """
    against = {name: _e_lost(tally, goals[name]) for name, tally in tallies.items()}
    lost = {name for name, e_value in adjusted(against).items() if e_value >= 1 / error}
    return {
        name: _reading(tally, goals[name], name in lost, error) for name, tally in tallies.items()
    }


def together(readings: Mapping[str, Reading]) -> Literal["passed", "failed", "not known"]:
    """One verdict of all fronts. Of no fronts nothing is known."""
    if any(reading.verdict == "lost" for reading in readings.values()):
        return "failed"
    if readings and all(reading.met for reading in readings.values()):
        return "passed"
    return "not known"


def _e_lost(tally: Tally, goal: Goal) -> float:
    """Nobody loses more than everything: a margin of 1 cannot be lost."""
    return e_below(tally, goal.lost_below) if goal.lost_below > -1 else 0.0


def _reading(tally: Tally, goal: Goal, lost: bool, error: float) -> Reading:
    low, high = lower(tally, error), upper(tally, error)
    verdict: Verdict = "not known"
    if lost:
        verdict = "lost"
    elif low > 0:
        verdict = "won"
    elif low > -goal.margin:
        verdict = "held"
    return Reading(goal, tally.n, tally.mean, low, high, verdict)
