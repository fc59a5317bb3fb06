"""The engines, over HTTP: one pool of kept-alive connections a worker."""

import asyncio
import contextlib
from functools import lru_cache
from urllib.parse import urlsplit

from loop_platform.gateway.absence import absence
from loop_platform.gateway.connections import (
    Address,
    BrokenError,
    LateError,
    Pool,
    Response,
)
from loop_platform.gateway.routing import Target

# vLLM's server closes a connection that was idle for 5 s: ours are given up before.
_KEEP_ALIVE_S = 4.0
_CONNECT_S = 5.0
_DRAIN_S = 1.0


class UpstreamError(ConnectionError):
    """The engine has no answer: it is away, does not serve the release, failed or timed out."""

    def __init__(
        self, status: int, message: str, *, detail: object = "", body: bytes = b""
    ) -> None:
        super().__init__(message)
        self.status = status
        """What the caller is told."""
        self.detail = f"{message} ({detail})" if detail else message
        """With what callers need not know: addresses."""
        self.body = body
        """What the engine said, if anything."""


class Reply:
    """An engine's reply, of which the body is still to come."""

    def __init__(self, release: str, response: Response, max_bytes: int) -> None:
        self._release = release
        self._response = response
        self._bytes_left = max_bytes
        self._max_bytes = max_bytes
        self.status = response.status
        headers = response.headers
        self.content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
        retry_after = headers.get(b"retry-after")
        self.retry_after = None if retry_after is None else retry_after.decode("latin-1")

    @property
    def streamed(self) -> bool:
        return self.content_type.startswith("text/event-stream")

    async def some(self) -> bytes:
        """The next bytes of the body, none at its end; `UpstreamError` where it breaks off, or is
        larger than allowed."""
        try:
            data = await self._response.some()
        except LateError as error:
            raise _timed_out(self._release) from error
        except BrokenError as error:
            message = f"the engine of {self._release!r} broke off"
            raise UpstreamError(502, message, detail=repr(error)) from error
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self.close()
            message = f"the engine of {self._release!r} sent more than {self._max_bytes} bytes"
            raise UpstreamError(502, message)
        return data

    async def read(self) -> bytes:
        """The whole body."""
        pieces = []
        while data := await self.some():
            pieces.append(data)
        return b"".join(pieces)

    def close(self) -> None:
        """Gives the connection up, unless the body came to its end: the engine stops then."""
        self._response.close()

    async def finish(self) -> None:
        """Reads what little follows the last event, so that the connection can be used again."""
        if self._response.at_end:
            return
        with contextlib.suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self.read()
        self.close()


class Upstream:
    def __init__(self, timeout_s: float, max_answer_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._pool = Pool(_KEEP_ALIVE_S, _CONNECT_S)

    async def open(self) -> None:
        """Connections are made as calls need them."""

    async def close(self) -> None:
        self._pool.close()

    async def post(
        self, target: Target, endpoint: str, body: bytes, call_id: str, *, stream: bool
    ) -> Reply:
        """The engine's reply, as far as its headers; `UpstreamError` where it has none.

        Of a `stream` the first byte is waited for, so it is asked for at once.

        A 404 means that the engine is up without the release, as good as away, unless it speaks of
        something else (absence.py).
        """
        response = await self._post(target, endpoint, body, call_id, stream)
        reply = Reply(target.release, response, self._max_answer_bytes)
        if reply.status < 500 and reply.status != 404:
            return reply
        said = await reply.read()
        missing = absence(reply.status, endpoint, target.model, said)
        if missing is not None:
            raise UpstreamError(404, missing, body=said)
        message = f"the engine of {target.release!r} answered {reply.status}"
        status = 503 if reply.status == 404 else reply.status
        raise UpstreamError(status, message, detail=said[:500].decode(errors="replace"), body=said)

    async def _post(
        self, target: Target, endpoint: str, body: bytes, call_id: str, stream: bool
    ) -> Response:
        try:
            address, head = _way(target.url, endpoint)
        except ValueError as error:
            message = f"the engine of {target.release!r} cannot be reached"
            raise UpstreamError(503, message, detail=error) from error
        request = head % (call_id.encode(), len(body)) + body
        fresh = False
        while True:
            try:
                connection = await self._pool.connected(address, fresh=fresh)
                response = connection.send(request, self._timeout_s, at_once=stream)
                try:
                    await response.begun()
                except BaseException:
                    response.close()
                    raise
                return response
            except LateError as error:
                raise _timed_out(target.release) from error
            except OSError as error:
                # A kept-alive connection that died while it idled: once more, on a new one.
                if isinstance(error, BrokenError) and connection.used and not fresh:
                    fresh = True
                    continue
                message = f"the engine of {target.release!r} cannot be reached"
                raise UpstreamError(503, message, detail=repr(error)) from error


@lru_cache(maxsize=64)
def _way(engine: str, endpoint: str) -> tuple[Address, bytes]:
    """Where an engine is, and the head of the requests to it: `%` gives the call and the size."""
    base = engine.rstrip("/").removesuffix("/v1")
    parts = urlsplit(base)
    head = (
        f"POST {parts.path}{endpoint} HTTP/1.1\r\nhost: {parts.netloc.rpartition('@')[2]}\r\n"
        "content-type: application/json\r\naccept-encoding: identity\r\n"
    ).replace("%", "%%")
    return Address.of(base), head.encode(
        "latin-1"
    ) + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n"


def _timed_out(release: str) -> UpstreamError:
    return UpstreamError(504, f"the engine of {release!r} gave no answer in time")
