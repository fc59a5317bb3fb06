"""Puts questions to several releases at the same time, so that a busy machine slows all alike."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from loop_platform.chat import Body, Chat, Reply

Messages = Sequence[dict[str, Any]]
Replies = list[Reply]

IN_FLIGHT = 12
"""Requests in flight on each side."""


@dataclass(frozen=True)
class Side:
    """A release, and what it is asked: parts by name, one after the other."""

    chat: Chat
    parts: Mapping[str, Sequence[Body]]


class EngineTroubleError(RuntimeError):
    """A champion that does not answer: nothing can be compared with it."""


def questions(conversations: Sequence[Messages], max_tokens: int) -> list[Body]:
    """Requests for greedy answers of bounded length."""
    parameters = {"temperature": 0, "seed": 17, "max_tokens": max_tokens}
    return [{"messages": list(messages), **parameters} for messages in conversations]


def interview(*sides: Side) -> list[dict[str, Replies]]:
    """The replies of each side to each of its parts.

    A side goes on to its next part while the last answers of a part are still coming, and never
    waits for another side: what a slow side costs is paid once.
    """

    async def ask() -> list[Replies]:
        return await asyncio.gather(
            *(side.chat.ask([*chain(*side.parts.values())], IN_FLIGHT) for side in sides)
        )

    return [_by_part(side, said) for side, said in zip(sides, asyncio.run(ask()), strict=True)]


def check_answered(replies: Sequence[Reply], release: str) -> None:
    """Raises `EngineTroubleError` where any question found no answer."""
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors:
        raise EngineTroubleError(
            f"{len(errors)} of {len(replies)} questions to the champion {release!r} found no"
            f" answer, the first: {errors[0]}"
        )


def _by_part(side: Side, said: Replies) -> dict[str, Replies]:
    replies = iter(said)
    return {name: [*islice(replies, len(asked))] for name, asked in side.parts.items()}
