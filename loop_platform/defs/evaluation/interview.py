"""Puts the same questions to several releases, at the same time, so that a busy machine slows all
of them alike. What a release once answered to a suite is kept in the lake and not asked again.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from loop_platform.chat import Chat, Reply
from loop_platform.lake import Lake

Messages = Sequence[dict[str, Any]]

_REPLIES = pl.Schema(
    {
        "text": pl.String,
        "seconds": pl.Float64,
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
        "error": pl.String,
    }
)


@dataclass(frozen=True)
class Questions:
    """What one release is asked, greedily and with bounded answers."""

    chat: Chat
    conversations: Sequence[Messages]
    max_tokens: int
    concurrency: int = 4
    keep_as: str | None = None
    """Name in the lake under which the replies are kept; None asks every time."""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        parameters = {"temperature": 0, "seed": 17, "max_tokens": self.max_tokens}
        return [{"messages": list(messages), **parameters} for messages in self.conversations]

    @property
    def kept_at(self) -> str | None:
        """A path that changes with the questions."""
        if self.keep_as is None:
            return None
        content = json.dumps(self.bodies, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:12]
        return f"evaluation/answers/{self.chat.model}/{self.keep_as}-{digest}.parquet"


@dataclass(frozen=True)
class Interview:
    """The replies to some questions."""

    replies: list[Reply]
    kept: bool
    """Whether they come from an earlier evaluation."""

    @property
    def texts(self) -> list[str]:
        return [reply.text for reply in self.replies]

    @property
    def errors(self) -> list[str]:
        return [reply.error for reply in self.replies if reply.error is not None]


class EngineTroubleError(RuntimeError):
    """A champion that does not answer: nothing can be compared with it."""


def interview(
    lake: Lake,
    questions: Sequence[Questions],
    on_reply: Callable[[], None] = lambda: None,
) -> list[Interview]:
    """Ask all of them at once."""
    known = [_kept(lake, asked) for asked in questions]
    open_ones = [asked for asked, kept in zip(questions, known, strict=True) if kept is None]
    fresh = iter(asyncio.run(_ask(open_ones, on_reply)))
    found = [
        Interview(next(fresh), kept=False) if kept is None else Interview(kept, kept=True)
        for kept in known
    ]
    for asked, answered in zip(questions, found, strict=True):
        if asked.kept_at is not None and not answered.kept and not answered.errors:
            rows = [{name: row[name] for name in _REPLIES} for row in map(asdict, answered.replies)]
            lake.write(pl.DataFrame(rows, schema=_REPLIES), asked.kept_at)
    return found


def check_answered(answered: Interview, release: str) -> None:
    """Raises `EngineTroubleError` where any question found no answer."""
    if answered.errors:
        raise EngineTroubleError(
            f"{len(answered.errors)} of {len(answered.replies)} questions to the champion"
            f" {release!r} found no answer, the first: {answered.errors[0]}"
        )


async def _ask(questions: Sequence[Questions], on_reply: Callable[[], None]) -> list[list[Reply]]:
    return await asyncio.gather(
        *(asked.chat.ask(asked.bodies, asked.concurrency, on_reply) for asked in questions)
    )


def _kept(lake: Lake, asked: Questions) -> list[Reply] | None:
    if asked.kept_at is None or not lake.exists(asked.kept_at):
        return None
    return [Reply(**row) for row in lake.read(asked.kept_at).iter_rows(named=True)]
