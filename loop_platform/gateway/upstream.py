"""The engines, over HTTP: one pool of kept-alive connections a worker."""

import asyncio
import contextlib
from functools import lru_cache

import aiohttp
from yarl import URL

from loop_platform.gateway.routing import Target

# vLLM's server closes a connection that was idle for 5 s: ours are given up before.
_KEEP_ALIVE_S = 4.0
_CONNECT_S = 5.0
_DRAIN_S = 1.0
_BUFFER_BYTES = 2**18

_UNREACHABLE = aiohttp.ClientConnectorError
_HUNG_UP = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


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

    def __init__(self, release: str, response: aiohttp.ClientResponse) -> None:
        self._release = release
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("content-type", "application/json")
        self.retry_after = response.headers.get("retry-after")

    @property
    def streamed(self) -> bool:
        return self.content_type.startswith("text/event-stream")

    async def some(self) -> bytes:
        """The next bytes of the body, none at its end; `UpstreamError` where it breaks off."""
        try:
            return await self._response.content.readany()
        except TimeoutError as error:
            raise _timed_out(self._release) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"the engine of {self._release!r} broke off"
            raise UpstreamError(502, message, detail=repr(error)) from error

    async def read(self) -> bytes:
        """The whole body."""
        pieces = []
        while data := await self.some():
            pieces.append(data)
        return b"".join(pieces)

    def close(self) -> None:
        """Gives the connection up, unless the body is read to its end: the engine stops then."""
        self._response.close()

    async def finish(self) -> None:
        """Reads what little follows the last event, so that the connection can be used again."""
        if self._response.content.at_eof():
            return
        with contextlib.suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self.read()
        self.close()


class Upstream:
    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the pool, on the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S),
            headers={"content-type": "application/json", "accept-encoding": "identity"},
            skip_auto_headers=["user-agent"],
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_BUFFER_BYTES,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, target: Target, endpoint: str, body: bytes, call_id: str) -> Reply:
        """The engine's reply, as far as its headers; `UpstreamError` where it has none.

        A 404 means that the engine is up without the release: as good as away.
        """
        url = _url(target.url, endpoint)
        response = await self._post(target.release, url, body, {"x-request-id": call_id})
        reply = Reply(target.release, response)
        if reply.status < 500 and reply.status != 404:
            return reply
        said = await reply.read()
        message = f"the engine of {target.release!r} answered {reply.status}"
        status = 503 if reply.status == 404 else reply.status
        raise UpstreamError(status, message, detail=said[:500].decode(errors="replace"), body=said)

    async def _post(
        self, release: str, url: URL, body: bytes, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the upstream pool is not open yet: call `open` first")
        again = True
        while True:
            try:
                return await self._session.post(url, data=body, headers=headers)
            except TimeoutError as error:
                raise _timed_out(release) from error
            except aiohttp.ClientError as error:
                # A kept-alive connection that died while it idled: once more, on a new one.
                if again and isinstance(error, _HUNG_UP) and not isinstance(error, _UNREACHABLE):
                    again = False
                    continue
                message = f"the engine of {release!r} cannot be reached"
                raise UpstreamError(503, message, detail=error) from error


@lru_cache(maxsize=64)
def _url(engine: str, endpoint: str) -> URL:
    return URL(f"{engine.rstrip('/').removesuffix('/v1')}{endpoint}")


def _timed_out(release: str) -> UpstreamError:
    return UpstreamError(504, f"the engine of {release!r} gave no answer in time")
