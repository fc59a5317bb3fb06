"""Notices that the caller hung up, while the gateway works for it."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from loop_platform.gateway.incoming import CallerGoneError


class Presence:
    """`async with Presence(receive):` ends with `CallerGoneError` when the caller hangs up.

    The request's body has to be read before.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self._gone = False

    async def __aenter__(self) -> None:
        self._worker = asyncio.current_task()
        self._watch = asyncio.create_task(self._wait())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over = True
        self._watch.cancel()
        if self._gone and self._worker is not None:
            self._worker.uncancel()
            if kind is asyncio.CancelledError:
                raise CallerGoneError("the caller hung up") from error

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over and self._worker is not None:
            self._gone = True
            self._worker.cancel()
