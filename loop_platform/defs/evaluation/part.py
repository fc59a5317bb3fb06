"""One part of an evaluation: what both sides were asked, what they answered, and how it scored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from loop_platform.chat import Reply

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
    champion: Sequence[Reply]
    candidate: Sequence[Reply]
    champion_wins: Sequence[bool]
    candidate_wins: Sequence[bool]
    known: bool = False
    """Whether the champion's answers were there before the candidate was."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Numbers beside the successes."""

    @property
    def pairs(self) -> list[tuple[bool, bool]]:
        return list(zip(self.champion_wins, self.candidate_wins, strict=True))

    @property
    def rows(self) -> pl.DataFrame:
        columns = {
            "part": [self.name] * len(self.prompts),
            "label": self.labels,
            "prompt": self.prompts,
            "champion_answer": [reply.text for reply in self.champion],
            "candidate_answer": [reply.text for reply in self.candidate],
            "champion": self.champion_wins,
            "candidate": self.candidate_wins,
        }
        return pl.DataFrame(columns, schema=ROWS)
