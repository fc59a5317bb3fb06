"""One part of an evaluation: what both sides were asked, what they answered, and how it scored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from loop_platform.defs.evaluation.interview import Interview

ROWS = pl.Schema(
    {
        "part": pl.String,  # corrections | earlier corrections | retention | safety
        "label": pl.String,  # the task, or the category of a suite
        "prompt": pl.String,
        "champion_answer": pl.String,
        "candidate_answer": pl.String,
        "champion": pl.Boolean,  # success; of a general prompt: does it agree with itself
        "candidate": pl.Boolean,  # success; of a general prompt: does it agree with the champion
    }
)


@dataclass(frozen=True)
class Part:
    """Champion and candidate side by side, a place a question."""

    name: str
    labels: Sequence[str]
    prompts: Sequence[str]
    champion: Interview
    candidate: Interview
    champion_wins: Sequence[bool]
    candidate_wins: Sequence[bool]
    seconds: float
    again: Interview | None = None
    """The champion, asked the second time."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Numbers beside the successes."""

    @property
    def pairs(self) -> list[tuple[bool, bool]]:
        return list(zip(self.champion_wins, self.candidate_wins, strict=True))

    @property
    def asked(self) -> int:
        """Answers that were asked for now."""
        return sum(len(side.replies) for side in self._sides if not side.kept)

    @property
    def kept(self) -> int:
        """Answers that an earlier evaluation had asked for."""
        return sum(len(side.replies) for side in self._sides if side.kept)

    @property
    def rows(self) -> pl.DataFrame:
        columns = {
            "part": [self.name] * len(self.prompts),
            "label": self.labels,
            "prompt": self.prompts,
            "champion_answer": self.champion.texts,
            "candidate_answer": self.candidate.texts,
            "champion": self.champion_wins,
            "candidate": self.candidate_wins,
        }
        return pl.DataFrame(columns, schema=ROWS)

    @property
    def _sides(self) -> list[Interview]:
        sides = [self.champion, self.candidate]
        return sides if self.again is None else [*sides, self.again]
