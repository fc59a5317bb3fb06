"""Group commit: what was journalled is forced to the disk, once for all calls that wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from loop_platform.gateway.journal import JournalError


class GroupCommit:
    """While one `sync` runs, those who come wait for the next."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit of the journal")
        self._waiting: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Returns when everything that was written before is on the disk; `JournalError` where it
        cannot be brought there."""
        on_disk = asyncio.get_running_loop().create_future()
        self._waiting.append(on_disk)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await on_disk

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            error: JournalError | None = None
            try:
                await loop.run_in_executor(self._thread, self._sync)
            except OSError as failure:
                error = JournalError(
                    failure.errno, f"the journal cannot be forced to the disk: {failure}"
                )
            _tell(batch, error)
        self._committing = None


def _tell(batch: "list[asyncio.Future[None]]", error: JournalError | None) -> None:
    for on_disk in batch:
        if on_disk.done():  # its caller hung up
            continue
        if error is None:
            on_disk.set_result(None)
        else:
            on_disk.set_exception(error)
