"""HTTP as the gateway's server speaks it: uvicorn's protocol, and what a caller may not do to it.

A head that does not end, a request that comes a byte at a time, an answer that nobody takes: each
would hold memory for as long as the caller likes. What is within the limits costs a comparison a
request; who is late is found by one timer a connection.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from loop_platform.gateway.gathering import Gathering
from loop_platform.gateway.refusals import RefusedError
from loop_platform.settings import GatewaySettings, settings

_LINGER_S = 2.0
"""So long a caller that was refused may go on sending; hanging up at once would take our answer
from it."""


class BoundedProtocol(HttpToolsProtocol):
    """The connection of one caller."""

    @classmethod
    def limits(cls) -> GatewaySettings:
        return settings().gateway

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._limits = self.limits()
        self._in_head = False
        self._head_bytes = 0
        """Received since the last head ended: of the next one, at least."""
        self._asking_since: float | None = None
        """When a request began that is not whole."""
        self._stuck_since: float | None = None
        """When the caller stopped to take what is written."""
        self._refused = False
        self._watch: asyncio.TimerHandle | None = None
        self._surplus = False
        """There were as many connections as there may be."""
        super().__init__(config, server_state, app_state, _loop)  # whose parser takes the callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Gathering(transport, self.loop))
        self._surplus = len(self.connections) > self._limits.max_connections
        self._asking_since = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.max_header_bytes:
            self._refuse(self._too_long())

    def on_message_begin(self) -> None:
        self._in_head = True
        self._asking_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes > self._limits.max_header_bytes:  # or it is the body's beginning
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self._limits.max_header_bytes:
                self._stop(self._too_long())
        if self._surplus:
            message = f"this worker has the {self._limits.max_connections} connections allowed"
            self._stop(RefusedError(503, message, code="too_many_connections", retry_after_s=1))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        self._asking_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read, or a callback stopped."""
        self._refuse(RefusedError(400, f"this is no HTTP request: {msg}", code="bad_http"))

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def _look(self) -> None:
        """Ends the connection where the caller is late, or looks again when it could be."""
        now = self.loop.time()
        if self._asking_since is not None and self.flow.read_paused:
            self._asking_since = now  # it is we who do not read
        limits = (self._limits.request_timeout_s, self._limits.stalled_timeout_s)
        asking, stuck = (
            limit if since is None else since + limit - now
            for since, limit in zip((self._asking_since, self._stuck_since), limits, strict=True)
        )
        if stuck <= 0:
            self.transport.abort()
        elif asking <= 0:
            self._late()
        else:
            self._watch = self.loop.call_later(min(asking, stuck), self._look)

    def _late(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if answered and not self._in_head:  # nothing was asked, or more is sent than was wanted
            self.transport.abort()
            return
        message = f"the request was not whole within {self._limits.request_timeout_s:g} s"
        self._refuse(RefusedError(408, message, code="request_timeout"))

    def _too_long(self) -> RefusedError:
        message = f"the head is larger than the {self._limits.max_header_bytes} bytes allowed"
        return RefusedError(431, message, code="headers_too_large")

    def _stop(self, refusal: RefusedError) -> None:
        """Refuses from within the parser, which reads no further."""
        self._refuse(refusal)
        raise httptools.HttpParserError(refusal.message)

    def _refuse(self, refusal: RefusedError) -> None:
        """Answers in the application's place, and lets the connection end."""
        if self._refused:
            return
        self._refused = True
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if cycle is not None and answering:
            cycle.disconnected = True  # the application is told, and writes no more
            cycle.message_event.set()
        if self.pipeline or (answering and cycle.response_started):
            self.transport.abort()  # in the middle of an answer there is no place for another
            return
        self.transport.write(_raw(refusal))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(_LINGER_S, self.transport.abort)


def _raw(refusal: RefusedError) -> bytes:
    body = refusal.body()
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if refusal.retry_after_s is not None:
        lines.append(f"retry-after: {refusal.retry_after_s}")
    return "\r\n".join([*lines, "", ""]).encode() + body
