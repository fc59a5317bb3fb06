"""`Idempotency-Key`: a caller that sends the same request again gets the answer of the first.

The key is the caller's own (an API key's). The first request under it is answered as ever, and the
answer kept; while it is under way, others wait for it. Only whole answers with status 200 are kept:
after anything else the next request is answered anew, which is what a client that tries again
wants. A call whose caller hangs up before its answer began goes on, since the caller said that it
may come back for it; a stream ends with its caller.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time

from starlette.types import Message, Receive, Scope, Send

from loop_platform.gateway.completions import EXCHANGE, Completions
from loop_platform.gateway.exchange import Exchange
from loop_platform.gateway.incoming import authorised, body_of, headers_of
from loop_platform.gateway.kept import Head, KeptAnswer
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.presence import Presence
from loop_platform.gateway.refusals import RefusedError, bad_request, unavailable

logger = logging.getLogger(__name__)

HEADER = b"idempotency-key"
REPLAYED = (b"idempotent-replayed", b"true")

_LONGEST = 255
_POLL_S = (0.02, 0.25)
_STREAM = b"text/event-stream"


class Idempotent:
    """Stands before `Completions`; a request without a key passes at once."""

    def __init__(self, parts: Parts, completions: Completions) -> None:
        self._parts = parts
        self._completions = completions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope["headers"]:
            if name == HEADER:
                await self._once(value, scope, receive, send)
                return
        await self._completions(scope, receive, send)

    async def _once(self, value: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        caller = await authorised(headers, self._parts.keys, "caller")
        limit = self._parts.settings.gateway.max_body_bytes
        body = await body_of(headers, receive, limit)
        owner, secret = caller.key_id.encode(), None
        if self._parts.redactors.covers(caller.tenant):
            # What is kept is personal data: in a file of another name, which only its caller reads.
            owner += b"\0enciphered"
            secret = hmac.digest(headers[b"authorization"].split()[-1], owner, "sha256")
        name = _digest(owner, _checked(value))
        fingerprint = _digest(scope["path"].encode(), body)
        with Presence(receive):
            answer = await self._held(name, fingerprint, secret)
        heard = _Repeated(body, receive)
        if answer is None:
            heard.streaming.set()
            await self._completions(scope, heard, send)
            return
        with contextlib.closing(answer):
            if not answer.mine:
                await _replay(answer, send)
                return
            await self._completions(scope, heard, _Keeping(answer, scope, heard, send))

    async def _held(self, name: str, fingerprint: str, secret: bytes | None) -> KeptAnswer | None:
        """The key's answer: whole, or this request's to give. None where none can be kept and the
        settings say to serve all the same."""
        try:
            return await self._waited(name, fingerprint, secret)
        except OSError as error:
            logger.error("an answer cannot be kept for its Idempotency-Key: %s", error)
            if self._parts.settings.gateway.on_disk_full == "serve":
                return None
            message = "the Idempotency-Key cannot be honoured: the disk is full"
            raise unavailable(message, "answer_unwritable", 5) from error

    async def _waited(self, name: str, fingerprint: str, secret: bytes | None) -> KeptAnswer:
        deadline = time.monotonic() + self._parts.settings.gateway.upstream_timeout_s
        pause, longest = _POLL_S
        while True:
            with contextlib.ExitStack() as unless_wanted:
                answer = self._parts.kept.open(name, secret)
                unless_wanted.callback(answer.close)
                if self._mine(answer, fingerprint):
                    unless_wanted.pop_all()
                    return answer
            if time.monotonic() >= deadline:
                raise RefusedError(
                    409,
                    "the first request under this Idempotency-Key is still being answered",
                    code="idempotency_key_in_use",
                    retry_after_s=5,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _mine(self, answer: KeptAnswer, fingerprint: str) -> bool:
        """Whether there is nothing to wait for: the answer is whole, or it is ours to give."""
        if not answer.hold():
            _check(answer, fingerprint)
            return False
        if answer.gone:
            return False
        if answer.age_s < self._parts.kept.ttl_s and answer.whole():
            _check(answer, fingerprint)
            answer.let_go()
            return True
        if not answer.blank:  # too old, spoilt, or its holder died over it
            answer.remove()
            return False
        answer.begin(fingerprint)
        return True


class _Repeated:
    """The request once more, for a handler that reads it itself.

    It does not tell a handler that its caller hung up before a stream began.
    """

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self.streaming = asyncio.Event()

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        await self.streaming.wait()
        return message


class _Keeping:
    """Writes an answer down on its way to the caller."""

    def __init__(self, answer: KeptAnswer, scope: Scope, heard: _Repeated, send: Send) -> None:
        self._answer = answer
        self._scope = scope
        self._heard = heard
        self._send = send
        self._failed = False

    async def __call__(self, message: Message) -> None:
        if not self._failed:
            try:
                self._take(message)
            except OSError as error:
                self._failed = True
                logger.error("an answer cannot be kept for its Idempotency-Key: %s", error)
        await self._send(message)

    def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[tuple[bytes, bytes]] = message["headers"]
            if any(name == b"content-type" and _STREAM in value for name, value in headers):
                self._heard.streaming.set()
            text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            self._answer.write_head(Head(message["status"], text))
            return
        self._answer.write(message.get("body", b""))
        exchange: Exchange = self._scope[EXCHANGE]
        outcome = exchange.outcome
        if not message.get("more_body") and outcome is not None and outcome.good:
            self._answer.keep()


async def _replay(answer: KeptAnswer, send: Send) -> None:
    head, body = answer.read()
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
    start = {"type": "http.response.start", "status": head.status, "headers": [*headers, REPLAYED]}
    await send(start)
    for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def _check(answer: KeptAnswer, fingerprint: str) -> None:
    known = answer.fingerprint()
    if known is not None and known != fingerprint:
        raise RefusedError(
            422,
            "this Idempotency-Key was used for another request: its path or its body differs; take"
            " a new key for a new request",
            code="idempotency_key_reused",
            param="Idempotency-Key",
        )


def _checked(value: bytes) -> bytes:
    text = value.decode("latin-1")
    if not (text and text.isascii() and text.isprintable() and len(text) <= _LONGEST):
        raise bad_request(
            f"an Idempotency-Key is 1 to {_LONGEST} printable ASCII characters", "Idempotency-Key"
        )
    return value


def _digest(first: bytes, second: bytes) -> str:
    return hashlib.sha256(b"%d:%s%s" % (len(first), first, second)).hexdigest()
