"""`POST /v1/chat/completions`, `/v1/completions`, `/v1/responses` and `/v1/embeddings`, streamed or
not.

The answer passes byte for byte, but for what the gateway asked the engine for in addition.
"""

import asyncio
import contextlib

from starlette.types import Receive, Scope, Send

from loop_platform.gateway.asked import asked
from loop_platform.gateway.events import usage_of
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.incoming import CallerGoneError, authorised, body_of, headers_of
from loop_platform.gateway.journal import JournalError
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.presence import Presence
from loop_platform.gateway.redactors import RedactorError
from loop_platform.gateway.refusals import RefusedError, unavailable
from loop_platform.gateway.responses import stream_of
from loop_platform.gateway.upstream import Reply, UpstreamError

_CLIENT_CLOSED = 499

EXCHANGE = "loop.exchange"
"""Where a scope holds its call, for who stands around the handler (idempotency.py)."""


class Completions:
    """A raw ASGI handler: nothing stands between the server and the engine's bytes."""

    def __init__(self, parts: Parts, endpoint: str) -> None:
        self._parts = parts
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope[EXCHANGE] = await self._opened(scope, receive)
        try:
            with Presence(receive):
                reply = await self._answer(exchange, send)
            self._parts.mirror.offer(exchange)
            await reply.finish()
        except CallerGoneError as error:
            await self._abandon(exchange, Outcome(_CLIENT_CLOSED, False, str(error)))
        except UpstreamError as error:
            exchange.received.append(error.body)
            fault = error.status != 404
            await self._abandon(exchange, Outcome(error.status, False, error.detail, fault=fault))
            with contextlib.suppress(JournalError):  # the caller is told of a failure anyway
                await self._parts.books.settle()
            raise _with_headers(_refusal(error), exchange) from error
        except JournalError as error:
            if self._parts.redactors.covers(exchange.key.tenant):
                await self._abandon(exchange, Outcome(503, False, error.reason))
            exchange.outcome = exchange.outcome or Outcome(503, False, "it cannot be recorded")
            raise _with_headers(_unrecorded(error), exchange) from error
        finally:
            if exchange.outcome is None:
                await self._abandon(exchange, Outcome(500, False, "the gateway broke off"))

    async def _opened(self, scope: Scope, receive: Receive) -> Exchange:
        headers = headers_of(scope)
        settings = self._parts.settings.gateway
        key = await authorised(headers, self._parts.keys, "caller")
        allowance = self._parts.allowances.of(key)
        if allowance is not None:
            allowance.admit()
        body = await body_of(headers, receive, settings.max_body_bytes)
        wanted = asked(self._endpoint, body, headers, settings)
        call_id = self._parts.identity.mint(key.tenant)
        target = self._parts.dispatch.target(wanted, key, call_id)
        exchange = Exchange(call_id, key, wanted, target, allowance=allowance)
        if self._parts.redactors.covers(key.tenant):
            try:
                exchange.redacted = self._parts.redactors.begin(wanted.body)
            except RedactorError as error:
                raise _unrecorded(error) from error
        return exchange

    async def _answer(self, exchange: Exchange, send: Send) -> Reply:
        reply = await self._parts.dispatch.reply(exchange)
        try:
            await (self._stream if reply.streamed else self._whole)(exchange, reply, send)
        except BaseException:
            reply.close()
            raise
        return reply

    async def _whole(self, exchange: Exchange, reply: Reply, send: Send) -> None:
        body = await reply.read()
        exchange.receive(body)
        exchange.usage = usage_of(body)
        self._parts.books.close(exchange, Outcome(reply.status, True))
        if exchange.recorded is not None:
            await self._parts.books.recorded(exchange)
        await self._parts.books.settle()
        body = exchange.asked.hidden.whole(body)
        await send(_start(exchange, reply, (b"content-length", b"%d" % len(body))))
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, exchange: Exchange, reply: Reply, send: Send) -> None:
        answer = stream_of(exchange, exchange.asked.hidden)
        if exchange.redacted is not None:
            await asyncio.shield(exchange.redacted)
        self._parts.books.open(exchange, reply.status)
        await send(_start(exchange, reply, (b"cache-control", b"no-cache")))
        onward, last = b"", None
        try:
            while data := await reply.some():
                onward = answer.feed(data)
                if answer.last is not None:
                    break
                if onward:
                    await send({"type": "http.response.body", "body": onward, "more_body": True})
                    onward = b""
            outcome = answer.outcome(reply.status)
        except UpstreamError as error:
            outcome = Outcome(reply.status, False, error.detail, fault=True)
        try:
            self._parts.books.close(exchange, outcome)
            if exchange.recorded is not None:
                await self._parts.books.recorded(exchange)
            await self._parts.books.settle()
            last = answer.last or _event(RefusedError(502, "the engine broke off", code="cut"))
        except JournalError as error:
            exchange.outcome = Outcome(503, False, "not recorded")
            last = _event(_unrecorded(error))
        await send({"type": "http.response.body", "body": onward + last})

    async def _abandon(self, exchange: Exchange, outcome: Outcome) -> None:
        """Closes a call that has no answer to hold back, unless it is closed."""
        with contextlib.suppress(JournalError):  # said and counted where it happened
            self._parts.books.close(exchange, outcome)
            await self._parts.books.recorded(exchange)


def _start(exchange: Exchange, reply: Reply, *more: tuple[bytes, bytes]) -> dict[str, object]:
    call_id = exchange.call_id.encode()
    headers = [
        (b"content-type", reply.content_type.encode("latin-1")),
        *more,
        (b"x-loop-call-id", call_id),
        (b"x-loop-release", exchange.target.release.encode()),
        (b"x-request-id", call_id),
    ]
    if exchange.allowance is not None:
        left = exchange.allowance.headers().items()
        headers += [(name.encode(), value.encode()) for name, value in left]
    if reply.retry_after is not None:
        headers.append((b"retry-after", reply.retry_after.encode("latin-1")))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def _event(refusal: RefusedError) -> bytes:
    return b"data: " + refusal.body() + b"\n\n"


def _unrecorded(error: JournalError) -> RefusedError:
    return unavailable(f"the call cannot be recorded: {error.reason}", error.code, 5)


def _refusal(error: UpstreamError) -> RefusedError:
    if error.status == 503:
        return unavailable(str(error), "engine_unavailable")
    if error.status == 404:
        return RefusedError(404, str(error), code="not_found")
    return RefusedError(error.status, str(error), code="engine_failed")


def _with_headers(refusal: RefusedError, exchange: Exchange) -> RefusedError:
    refusal.headers.update(exchange.headers())
    return refusal
