"""Copies of the champion's calls for the shadow release, after the caller has its answer.

The caller notices nothing of it: copies wait in a queue with an end, and what does not fit is
dropped and counted.
"""

import asyncio
import logging
from dataclasses import dataclass

from loop_platform.gateway.asked import Asked
from loop_platform.gateway.books import Books
from loop_platform.gateway.events import usage_of
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.journal import JournalError
from loop_platform.gateway.redaction import Redaction
from loop_platform.gateway.responses import stream_of
from loop_platform.gateway.routing import RouteTable, Target
from loop_platform.gateway.upstream import Reply, Upstream, UpstreamError
from loop_platform.identity import CallIdentity
from loop_platform.keys import Key
from loop_platform.personal_data.frames import Redacted

logger = logging.getLogger(__name__)

_AT_ONCE = 8
_WAITING = 512
_WAITING_BYTES = 64 * 2**20
"""Of requests. Their answers are let go: a shadow that hangs would hold the memory of them all."""

_NOTHING_HIDDEN = Redaction(False, False)


@dataclass(slots=True)
class MirrorCounts:
    mirrored: int = 0
    failed: int = 0
    """Mirrored, and the shadow release had no whole answer."""
    dropped: int = 0
    """Not mirrored: the queue was full."""
    expired: int = 0
    """Not mirrored: the trial or its lease ended while they waited."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a copy is made of."""

    call_id: str
    key: Key
    asked: Asked
    redacted: asyncio.Future[Redacted] | None
    target: Target

    @property
    def size(self) -> int:
        return len(self.asked.sent)


class Mirror:
    def __init__(
        self, routes: RouteTable, upstream: Upstream, books: Books, identity: CallIdentity
    ) -> None:
        self._routes = routes
        self._upstream = upstream
        self._books = books
        self._identity = identity
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(_WAITING)
        self._waiting_bytes = 0
        self._workers: list[asyncio.Task[None]] = []
        self.counts = MirrorCounts()

    @property
    def alive(self) -> bool:
        return bool(self._workers) and not any(worker.done() for worker in self._workers)

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self.waiting:
            logger.warning("%d copies for the shadow release end with this worker", self.waiting)

    def offer(self, exchange: Exchange) -> None:
        """Queues a copy of a call that the champion answered, where a shadow wants one."""
        outcome = exchange.outcome
        if exchange.target.route != "champion" or outcome is None or not outcome.good:
            return
        if not exchange.asked.on_trial:
            return
        target = self._routes.current.mirror(exchange.call_id)
        if target is None:
            return
        one = _Waiting(exchange.call_id, exchange.key, exchange.asked, exchange.redacted, target)
        if self._queue.full() or self._waiting_bytes + one.size > _WAITING_BYTES:
            self.counts.dropped += 1
            return
        self._waiting_bytes += one.size
        self._queue.put_nowait(one)

    async def _work(self) -> None:
        while True:
            original = await self._queue.get()
            self._waiting_bytes -= original.size
            if self._routes.current.mirror(original.call_id) == original.target:
                await self._mirror(original)
            else:
                self.counts.expired += 1

    async def _mirror(self, original: _Waiting) -> None:
        copy = Exchange(
            call_id=self._identity.mint(original.key.tenant),
            key=original.key,
            asked=original.asked,
            target=original.target,
            pair_id=original.call_id,
            redacted=original.redacted,
        )
        try:
            outcome = await self._outcome(copy)
        except UpstreamError as error:
            copy.received.append(error.body)
            outcome = Outcome(error.status, False, error.detail, fault=True)
        self.counts.mirrored += 1
        self.counts.failed += not outcome.complete
        try:
            self._books.close(copy, outcome)
            await self._books.recorded(copy)
        except JournalError:
            return  # said and counted where it happened

    async def _outcome(self, copy: Exchange) -> Outcome:
        asked = copy.asked
        body = asked.for_engine(copy.target.model)
        reply = await self._upstream.post(
            copy.target, asked.endpoint, body, copy.call_id, stream=asked.stream
        )
        try:
            return await _read(copy, reply)
        finally:
            reply.close()


async def _read(copy: Exchange, reply: Reply) -> Outcome:
    if not reply.streamed:
        data = await reply.read()
        copy.receive(data)
        copy.usage = usage_of(data)
        return Outcome(reply.status, True)
    answer = stream_of(copy, _NOTHING_HIDDEN)
    while data := await reply.some():
        answer.feed(data)
    return answer.outcome(reply.status)
