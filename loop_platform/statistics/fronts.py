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
from typing import Any, Literal, Protocol

from loop_platform.statistics.aim import Aim, Verdict
from loop_platform.statistics.betting import e_below, lower, upper
from loop_platform.statistics.family import adjusted
from loop_platform.statistics.tally import Tally

ERROR = 0.025
"""Of each side: what lies between two bounds is a 95 % interval."""


class Evidence(Protocol):
    """What was seen of a front: differences in [-1, 1], candidate minus champion, more is better.

    Bounds and e-values hold at every look together.
    """

    @property
    def n(self) -> float: ...
    @property
    def mean(self) -> float | None: ...
    def e_below(self, difference: float, /) -> float: ...
    def lower(self, error: float, /) -> float: ...
    def upper(self, error: float, /) -> float: ...


@dataclass(frozen=True)
class Paired:
    """Evidence of pairs: both sides answered the same call."""

    tally: Tally

    @property
    def n(self) -> float:
        return self.tally.n

    @property
    def mean(self) -> float | None:
        return self.tally.mean

    def e_below(self, difference: float) -> float:
        return e_below(self.tally, difference)

    def lower(self, error: float) -> float:
        return lower(self.tally, error)

    def upper(self, error: float) -> float:
        return upper(self.tally, error)


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

    def __str__(self) -> str:
        if self.mean is None:
            return f"{self.verdict} (nothing was seen)"
        return f"{self.verdict} (n {self.n:.0f}, {self.low:+.1%} to {self.high:+.1%})"

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
    seen: Mapping[str, Evidence], goals: Mapping[str, Goal], error: float = ERROR
) -> dict[str, Reading]:
    """Every front as it stands; one that nothing was seen of needs empty evidence.

    Raises:
        KeyError: a front has no goal.
    """
    gone = lost(seen, goals, error)
    return {
        name: _reading(evidence, goals[name], name in gone, error)
        for name, evidence in seen.items()
    }


def lost(seen: Mapping[str, Evidence], goals: Mapping[str, Goal], error: float = ERROR) -> set[str]:
    """The fronts that are lost, together wrong in at most `error` of all trials, ever. A tenth of
    the work of `read`.

    Raises:
        KeyError: a front has no goal.
    """
    against = {name: _e_lost(evidence, goals[name]) for name, evidence in seen.items()}
    return {name for name, e_value in adjusted(against).items() if e_value >= 1 / error}


def together(readings: Mapping[str, Reading]) -> Literal["passed", "failed", "not known"]:
    """One verdict of all fronts. Of no fronts nothing is known."""
    if any(reading.verdict == "lost" for reading in readings.values()):
        return "failed"
    if readings and all(reading.met for reading in readings.values()):
        return "passed"
    return "not known"


def _e_lost(seen: Evidence, goal: Goal) -> float:
    """Nobody loses more than everything: a margin of 1 cannot be lost."""
    return seen.e_below(goal.lost_below) if goal.lost_below > -1 else 0.0


def _reading(seen: Evidence, goal: Goal, gone: bool, error: float) -> Reading:
    low, high = seen.lower(error), seen.upper(error)
    verdict: Verdict = "not known"
    if gone:
        verdict = "lost"
    elif low > 0:
        verdict = "won"
    elif low > -goal.margin:
        verdict = "held"
    return Reading(goal, seen.n, seen.mean, low, high, verdict)
