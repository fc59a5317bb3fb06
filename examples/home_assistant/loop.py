"""What the driver can see of the loop: releases, cycles and drift, by the console's API."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from home_assistant.console import Console, Document

T = TypeVar("T")

_LOOK_EVERY_S = 1.0
_IN_TRIAL = ("registered", "evaluated", "shadow", "canary")
_SERVED = ("champion", "retired")


class TooLateError(TimeoutError):
    """Something did not happen in its time."""


class Loop:
    """An onlooker's view."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def releases(self) -> list[Document]:
        found: list[Document] = _rows(await self._console.get("/api/releases"), "releases")
        return found

    async def release(self, name: str) -> Document:
        found: Document = await self._console.get(f"/api/releases/{name}")
        return found

    async def cycles(self) -> dict[str, Document]:
        rows = _rows(await self._console.get("/api/cycles"), "cycles")
        return {row["cycle"]: row for row in rows}

    async def drift(self, task: str) -> list[Document]:
        """The verdicts on a task, oldest first."""
        rows = _rows(await self._console.get("/api/drift"), "verdicts")
        of_task = [row for row in rows if row["task"] == task]
        return sorted(of_task, key=lambda row: row["reported_at"])

    async def champion(self) -> str | None:
        found = [row["release"] for row in await self.releases() if row["state"] == "champion"]
        return found[0] if found else None

    async def of_cycle(self, cycle: str) -> Document | None:
        """The latest release that a cycle came to."""
        found = [row for row in await self.releases() if row.get("cycle") == cycle]
        return max(found, key=lambda row: row["created_at"]) if found else None

    async def stage(self, cycle: str) -> str:
        """In a word, where a cycle is."""
        cycles = await self.cycles()
        if cycle not in cycles:
            return "collecting"
        release = await self.of_cycle(cycle)
        if release is None:
            return "given up" if cycles[cycle].get("closed_at") else "training"
        return str(release["state"])


def in_trial(stage: str) -> bool:
    return stage in _IN_TRIAL


def served(stage: str) -> bool:
    """Whether a release in this state got all traffic at some time."""
    return stage in _SERVED


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


def _rows(document: Any, name: str) -> list[Document]:  # noqa: ANN401 - JSON
    rows: list[Document] = document[name] if isinstance(document, dict) else document
    return rows
