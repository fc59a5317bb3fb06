"""What a gate says, in the form in which the audit log, the console and the UI show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loop_platform.statistics.fronts import Reading
from loop_platform.statistics.paired import Difference
from loop_platform.statistics.proportions import Rate


@dataclass(frozen=True)
class Score:
    """Champion and candidate by one measure, each with n and its 95 % interval."""

    task: str
    metric: str
    champion: Rate | None
    candidate: Rate
    verdict: str
    itself: Rate | None = None
    """The champion against itself, where the measure is likeness to it."""
    difference: Difference | None = None
    p_value: float | None = None
    reading: Reading | None = None
    """Where the verdict holds at every look, what it was read from."""

    def as_evidence(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "metric": self.metric,
            "champion": None if self.champion is None else self.champion.as_evidence(),
            "candidate": self.candidate.as_evidence(),
            "self": None if self.itself is None else self.itself.as_evidence(),
            "difference": None if self.difference is None else self.difference.as_evidence(),
            "p_value": self.p_value,
            "front": None if self.reading is None else self.reading.as_evidence(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Gate:
    """One thing that a candidate has to show, and whether it did."""

    name: str
    passed: bool
    sentence: str
    scores: Sequence[Score] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    """Numbers beside the scores: seconds, money."""
    lost: bool | None = None
    """Of a gate whose evidence still grows: whether it can pass no more."""

    @property
    def refuses(self) -> bool:
        """It did not pass, and will not."""
        return not self.passed if self.lost is None else self.lost

    def as_evidence(self) -> dict[str, Any]:
        return {
            "gate": self.name,
            "passed": self.passed,
            "sentence": self.sentence,
            **self.figures,
        }


def evidence(champion: str, gates: Sequence[Gate]) -> dict[str, Any]:
    """Of all gates together."""
    return {
        "champion": champion,
        "verdict": "passed" if all(gate.passed for gate in gates) else "failed",
        "gates": [gate.as_evidence() for gate in gates],
        "scores": [score.as_evidence() for gate in gates for score in gate.scores],
    }


def progress(
    champion: str, gates: Sequence[Gate], readings: Mapping[str, Reading], looked_at: int
) -> dict[str, Any]:
    """Of a trial after `looked_at` pairs or calls."""
    return {
        **evidence(champion, gates),
        "looked_at": looked_at,
        "fronts": {name: reading.as_evidence() for name, reading in readings.items()},
        "not known": [name for name, each in readings.items() if each.verdict == "not known"],
    }


def refusals(gates: Sequence[Gate]) -> str:
    """Why a candidate is turned away, in one line."""
    return "; ".join(f"{gate.name}: {gate.sentence}" for gate in gates if not gate.passed)


def table(gates: Sequence[Gate]) -> str:
    """The scores as Markdown."""
    head = (
        "| task | measure | champion | candidate | champion itself | verdict |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    rows = (
        f"| {score.task} | {score.metric} | {score.champion or '–'} | {score.candidate} |"
        f" {score.itself or '–'} | {score.verdict} |"
        for gate in gates
        for score in gate.scores
    )
    return head + "\n".join(rows)
