"""HTTP/1.1 to the engines: one call at a time on each connection, which is kept for the next.

What a general client does for each call (redirects, cookies, encodings, proxies) takes longer than
all else that the gateway does with it. Here a call is one write and what the parser says of the
answer. Not covered, since no engine needs it: redirects, compressed answers, HTTP/2.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

_BUFFER_BYTES = 2**18
"""What may wait for a slow caller; then the engine waits."""

_INFORMATIONAL = range(100, 200)


class BrokenError(ConnectionError):
    """The engine hung up before its answer was whole, or spoke no HTTP."""


class LateError(TimeoutError):
    """The answer was not whole in time."""


class Address(NamedTuple):
    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: str) -> "Address":
        """Of an engine's URL; `ValueError` where it is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"{url!r} is no address of an engine: give an http or https URL")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), secure)


class Response:
    """An answer, of which more may be to come."""

    __slots__ = (
        "_connection",
        "_error",
        "_size",
        "_waiter",
        "chunks",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        """0 until the headers are whole."""
        self.headers: dict[bytes, bytes] = {}
        """Names in lower case."""
        self.chunks: list[bytes] = []
        self.complete = False
        self._connection = connection
        self._error: Exception | None = None
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    async def begun(self) -> None:
        """Returns when the headers are there."""
        while self.status == 0:
            await self._wait()

    async def some(self) -> bytes:
        """The next bytes of the body, none at its end."""
        while not self.chunks:
            if self.complete:
                return b""
            await self._wait()
        data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        if self._size > _BUFFER_BYTES and not self.complete:
            self._connection.pause(False)
        self._size = 0
        return data

    @property
    def at_end(self) -> bool:
        return self.complete and not self.chunks

    def close(self) -> None:
        """Gives the connection up where the answer is not whole."""
        if not self.complete:
            self._connection.close()

    def add(self, data: bytes) -> None:
        self.chunks.append(data)
        self._size += len(data)
        if self._size > _BUFFER_BYTES:
            self._connection.pause(True)
        self.wake()

    def fail(self, error: Exception) -> None:
        self._error = error
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    def __init__(self, freed: "Callable[[Connection], None]") -> None:
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self.idle_since = 0.0
        self.used = False
        """For a call before this one."""
        self._freed = freed
        self._paused = False
        self._received: list[bytes] = []
        self.on_body = self._received.append
        self._parser = httptools.HttpResponseParser(self)  # which takes the callbacks of now
        self._transport: asyncio.Transport
        self._response: Response | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def send(self, request: bytes, timeout_s: float, *, at_once: bool = True) -> Response:
        """Sends a request; no other is under way.

        What is not sent `at_once` leaves at the end of the loop's turn, with the other requests of
        the turn: an engine that sleeps is woken once for all of them.
        """
        self._response = response = Response(self)
        self._deadline = self.loop.call_later(timeout_s, self._late)
        if at_once:
            self._transport.write(request)
        else:
            self.loop.call_soon(self._write, request)
        return response

    def pause(self, paused: bool) -> None:
        if paused != self._paused and not self._transport.is_closing():
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is of its own kind

    def data_received(self, data: bytes) -> None:
        if self._response is None:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
            self._hand_over()
        except httptools.HttpParserError as error:
            self._fail(BrokenError(f"no HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        response = self._response
        if response is None:
            return
        if exc is None and response.status and _ends_with_connection(response):
            self._end(keep=False)
        else:
            self._fail(BrokenError(str(exc or "the engine hung up")))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            self._response.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._response is not None:
            status = self._parser.get_status_code()
            if status in _INFORMATIONAL:
                self._response.headers.clear()
                return
            self._response.status = status
            self._response.wake()

    def on_message_complete(self) -> None:
        if self._response is not None and self._response.status:
            self._end(keep=self._parser.should_keep_alive())

    def _write(self, request: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(request)

    def _hand_over(self) -> None:
        if self._received and self._response is not None:
            self._response.add(b"".join(self._received))
        self._received.clear()

    def _end(self, *, keep: bool) -> None:
        self._hand_over()
        response = self._finished()
        if response is None:
            return
        response.complete = True
        response.wake()
        if keep and not self.closed:
            self.pause(False)
            self.used = True
            self.idle_since = time.monotonic()
            self._freed(self)
        else:
            self.close()

    def _fail(self, error: Exception) -> None:
        response = self._finished()
        if response is not None:
            response.fail(error)

    def _late(self) -> None:
        self._fail(LateError("the answer was not whole in time"))
        self.close()

    def _finished(self) -> Response | None:
        response, self._response = self._response, None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        return response


class Pool:
    """The connections of one worker."""

    def __init__(self, keep_alive_s: float, connect_s: float) -> None:
        self._keep_alive_s = keep_alive_s
        self._connect_s = connect_s
        self._idle: dict[Address, deque[Connection]] = {}
        self._secure: ssl.SSLContext | None = None

    async def connected(self, address: Address, *, fresh: bool = False) -> Connection:
        """A connection of the caller's own: one that idles, unless a `fresh` one is wanted.

        Raises:
            OSError: the engine cannot be reached, a `TimeoutError` where it does not even refuse.
        """
        idle = self._idle.setdefault(address, deque())
        while idle and not fresh:
            connection = idle.pop()
            if not connection.closed and self._young(connection):
                return connection
            connection.close()

        def made() -> Connection:
            return Connection(lambda connection: self._keep(idle, connection))

        async with asyncio.timeout(self._connect_s):
            _, connection = await asyncio.get_running_loop().create_connection(
                made, address.host, address.port, ssl=self._context() if address.secure else None
            )
        return connection

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
            idle.clear()

    def _keep(self, idle: deque[Connection], connection: Connection) -> None:
        while idle and not self._young(idle[0]):
            idle.popleft().close()
        idle.append(connection)

    def _young(self, connection: Connection) -> bool:
        return time.monotonic() - connection.idle_since < self._keep_alive_s

    def _context(self) -> ssl.SSLContext:
        if self._secure is None:
            self._secure = ssl.create_default_context()
        return self._secure


def _ends_with_connection(response: Response) -> bool:
    """Whether nothing but the connection's end says where the body ends."""
    return b"content-length" not in response.headers and (
        b"chunked" not in response.headers.get(b"transfer-encoding", b"").lower()
    )
