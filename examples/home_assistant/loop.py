"""What the driver can see of the loop: releases, cycles and drift, by the console's API."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from home_assistant.console import Console, Document

T = TypeVar("T")

_IN_TRIAL = ("registered", "evaluated", "shadow", "canary")


class TooLateError(TimeoutError):
    """Something did not happen in its time."""


class Loop:
    """An onlooker's view."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def status(self) -> Document:
        found: Document = await self._console.get("/api/status")
        return found

    async def release(self, name: str) -> Document:
        """A release with its moves, and their evidence."""
        found: Document = await self._console.get(f"/api/releases/{name}")
        return found

    async def cycles(self) -> dict[str, Document]:
        found = await self._console.get("/api/cycles")
        return {row["cycle"]: row for row in found["cycles"]}

    async def drift(self, task: str) -> list[Document]:
        """The verdicts on a task, oldest first."""
        found = await self._console.get("/api/drift", task=task, limit=500)
        return sorted(found["drift"], key=lambda row: row["reported_at"])

    async def stage(self, cycle: str) -> str:
        """In a word, where a cycle is."""
        row = (await self.cycles()).get(cycle)
        if row is None:
            return "collecting"
        if row["release"] is None:
            return "given up" if row["closed_at"] else "training"
        return str(row["release_state"])


def under_way(stage: str) -> bool:
    """Whether a cycle in this stage goes on by itself."""
    return stage in ("collecting", "training", *_IN_TRIAL)


def seconds(moment: str) -> float:
    """Seconds since the epoch of a time in an answer."""
    return datetime.fromisoformat(moment).timestamp()


async def until(
    what: str, look: Callable[[], Awaitable[T | None]], timeout_s: float, every_s: float = 1.0
) -> T:
    """What `look` finds, as soon as it finds something.

    Raises:
        TooLateError: it found nothing in `timeout_s` seconds; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while (found := await look()) is None:
        if time.monotonic() > deadline:
            raise TooLateError(f"waited {timeout_s:.0f} s for {what}, and it did not come")
        await asyncio.sleep(every_s)
    return found
