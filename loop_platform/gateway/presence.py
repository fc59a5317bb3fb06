"""Notices that the caller hung up, while the gateway works for it."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from starlette.types import Message, Receive

from loop_platform.gateway.incoming import CallerGoneError


class Presence:
    """`with Presence(receive):` ends with `CallerGoneError` when the caller hangs up.

    The request's body has to be read before. What is waited for is watched without a task of its
    own: that would be the dearest thing that the gateway does for a call.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self._gone = False

    def __enter__(self) -> None:
        self._worker = asyncio.current_task()
        self._receiving = self._received()
        self._go_on()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over = True
        self._receiving.close()
        if self._gone and self._worker is not None:
            self._worker.uncancel()
            if kind is asyncio.CancelledError:
                raise CallerGoneError("the caller hung up") from error

    def _received(self) -> Coroutine[Any, Any, Message]:
        # A server's `receive` is a coroutine, though ASGI asks for no more than an awaitable.
        received: Coroutine[Any, Any, Message] = self._receive()  # type: ignore[assignment]
        return received

    def _go_on(self, waited: object = None) -> None:
        """Runs the server's `receive` up to the next thing that it waits for, as a task does."""
        while not self._over:
            try:
                future = self._receiving.send(None)
            except StopIteration as end:
                if end.value["type"] == "http.disconnect":
                    self._leave()
                    return
                self._receiving = self._received()
                continue
            if future is None:  # it only lets others run
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                future._asyncio_future_blocking = False  # a task's sign that it took it over
                future.add_done_callback(self._go_on)
            return

    def _leave(self) -> None:
        if self._worker is not None:
            self._gone = True
            self._worker.cancel()
