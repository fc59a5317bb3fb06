"""What the champion says to a suite, and how far it agrees with itself: the yardstick of every
candidate. Asked once a champion and kept in the lake.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from loop_platform.chat import Body, Chat, Reply
from loop_platform.defs.evaluation.interview import Side, check_answered, interview, questions
from loop_platform.defs.evaluation.suites import Prompt, SuiteName, suite
from loop_platform.defs.evaluation.words import again, kept
from loop_platform.lake import Lake
from loop_platform.settings import Settings

SIZES: dict[SuiteName, int] = {"retention": 120, "safety": 60}
"""Prompts of each suite that are asked: a minute or two for two cores."""
_TOKENS = 32
_SCHEMA = pl.Schema(
    {
        "category": pl.String,
        "prompt": pl.String,
        "text": pl.String,
        "seconds": pl.Float64,
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
        "itself": pl.Float64,  # share of the answer's tokens that it would say again
    }
)
_REPLY = ("text", "seconds", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Yardstick:
    """A champion's answers to the prompts of a suite."""

    prompts: Sequence[Prompt]
    said: Sequence[Reply]
    itself: Sequence[float]
    """The share of each answer's tokens that the champion would say again."""
    known: bool
    """Whether it had been asked before."""

    @property
    def texts(self) -> list[str]:
        return [reply.text for reply in self.said]

    @property
    def rows(self) -> pl.DataFrame:
        """A row a prompt, as it is kept."""
        rows = [
            {"category": prompt.category, "prompt": prompt.prompt, "itself": share}
            | {key: value for key, value in asdict(reply).items() if key in _REPLY}
            for prompt, reply, share in zip(self.prompts, self.said, self.itself, strict=True)
        ]
        return pl.DataFrame(rows, schema=_SCHEMA)


def yardsticks(lake: Lake, champion: Chat, settings: Settings) -> dict[SuiteName, Yardstick]:
    """The champion's answers to every suite; those that are not in the lake are asked for now.

    Raises:
        EngineTroubleError: a question to the champion found no answer.
        SuiteError: a suite cannot be read.
    """
    prompts = prompts_of(settings)
    known = {name: _known(lake, champion.model, name, asked) for name, asked in prompts.items()}
    missing = {name: prompts[name] for name, found in known.items() if found is None}
    fresh = _ask(champion, missing) if missing else {}
    for name, found in fresh.items():
        lake.write(found.rows, _path(champion.model, name, found.prompts))
    return {name: found or fresh[name] for name, found in known.items()}


def is_known(lake: Lake, champion: str, settings: Settings) -> bool:
    """Whether a champion has answered every suite already."""
    return all(
        lake.exists(_path(champion, name, asked)) for name, asked in prompts_of(settings).items()
    )


def prompts_of(settings: Settings) -> dict[SuiteName, list[Prompt]]:
    """What is asked of every suite."""
    return {name: suite(name, settings.suites, size) for name, size in SIZES.items()}


def bodies(prompts: Sequence[Prompt]) -> list[Body]:
    """The requests of a suite, the same for champion and candidate."""
    return questions([prompt.messages for prompt in prompts], _TOKENS)


def _ask(champion: Chat, missing: dict[SuiteName, list[Prompt]]) -> dict[SuiteName, Yardstick]:
    [said] = interview(Side(champion, {name: bodies(asked) for name, asked in missing.items()}))
    for replies in said.values():
        check_answered(replies, champion.model)
    [once_more] = interview(
        Side(champion, {name: again(bodies(missing[name]), said[name]) for name in missing})
    )
    for replies in once_more.values():
        check_answered(replies, champion.model)
    return {
        name: Yardstick(asked, said[name], kept(said[name], once_more[name]), known=False)
        for name, asked in missing.items()
    }


def _known(lake: Lake, champion: str, name: SuiteName, prompts: list[Prompt]) -> Yardstick | None:
    path = _path(champion, name, prompts)
    if not lake.exists(path):
        return None
    rows = lake.read(path)
    said = [Reply(**row) for row in rows.select(_REPLY).iter_rows(named=True)]
    return Yardstick(prompts, said, rows["itself"].to_list(), known=True)


def _path(champion: str, name: SuiteName, prompts: Sequence[Prompt]) -> str:
    """Changes with the questions."""
    content = json.dumps(bodies(prompts), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return f"evaluation/yardsticks/{champion}/{name}-{digest}.parquet"
