"""What a drill reports: what it planted, how that ended, who met it, and whether all is as it
should be."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loop_platform.statistics.proportions import Rate

_SURE = 0.999
"""Of the interval of a canary's share: chance alone is to fail no drill."""


@dataclass(frozen=True)
class Finding:
    """One thing that should be so after the fault, and what was found."""

    should: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Ending:
    """The last move of the candidate that was planted."""

    stage: str
    """Where it was."""
    state: str
    """Where it went."""
    by: str
    """The front, the gate or the guardrail that ended it; otherwise who did."""
    reason: str
    evidence: str
    """What that took, as in `375 pairs`."""
    seconds: float
    """From its registration."""


@dataclass(frozen=True)
class Exposure:
    """What the callers of the drill met of the candidate."""

    calls: int
    """That it answered."""
    of: int
    """Calls while it could answer any: in its canary, and as champion."""
    canary_calls: int
    of_canary: int
    gone_after_s: float | None
    """From its end to the last call that was sent to it; None where none was sent later."""
    errors: int
    """Calls that failed, whoever answered."""
    of_all: int

    @property
    def canary(self) -> Rate:
        return Rate.of(self.canary_calls, self.of_canary, _SURE)

    def __str__(self) -> str:
        if not self.calls:
            return "nobody met it"
        met = f"{self.calls} of {self.of} calls"
        if self.of_canary:
            met += f"; in its canary {self.canary}"
        after = self.gone_after_s
        return f"{met}; the last {'before its end' if after is None else f'{after:.2f} s after it'}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "canary": self.canary.as_evidence()}


@dataclass(frozen=True)
class Report:
    """A drill, whole."""

    drill: str
    planted: str
    ending: Ending | None
    exposure: Exposure
    findings: Sequence[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        return all(finding.holds for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "drill": self.drill,
            "passed": self.passed,
            "planted": self.planted,
            "ended": None if self.ending is None else asdict(self.ending),
            "exposure": self.exposure.as_json(),
            "findings": [asdict(finding) for finding in self.findings],
            "seconds": round(self.seconds, 1),
        }
