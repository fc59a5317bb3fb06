"""The load: closed loop, each caller as soon as it has its answer; open loop, at intended times.

Plain asyncio protocols, a few microseconds a call: a client library would measure itself.
"""

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit

from traffic.clock import Timer

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_CHUNKS = b"0\r\n\r\n"
_DONE = b"data: [DONE]"

_GRACE_S = 30.0
"""For the calls that are under way at the end; a slow server may have hundreds, and is left."""


class LoadError(RuntimeError):
    """The server's answer is none: the measurement would be of something else."""


@dataclass
class Calls:
    """What became of the calls of one run, in seconds."""

    taken: list[float] = field(default_factory=list)
    """From the (intended) sending to the last byte."""
    first: list[float] = field(default_factory=list)
    """From the (intended) sending to the first byte of the body."""
    late: list[float] = field(default_factory=list)
    """From the intended to the real sending: what the generator itself adds (open loop)."""
    unfinished: int = 0
    """Calls that had no answer when the run was given up."""
    in_time: int = 0
    """Calls that ended within the run's time."""

    def add(self, caller: "_Caller", end: float) -> None:
        self.taken.append(caller.last - caller.intended)
        self.first.append(caller.first - caller.intended)
        self.in_time += caller.last <= end


def requests(url: str, key: str, bodies: list[bytes]) -> list[bytes]:
    """HTTP requests, ready to be written."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n"
        f"authorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    )
    return [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


class _Caller(asyncio.Protocol):
    """A connection, with one call at a time."""

    def __init__(self, ended: "Callable[[_Caller], None]", broken: Callable[[str], None]) -> None:
        self._ended = ended
        self._broken = broken
        self._length = -1
        self._pieces: list[bytes] = []
        self._received = 0
        self.busy = False
        self.intended = self.first = self.last = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self._broken(f"the server hung up in mid-answer ({exc}): {self._said()!r}")

    def send(self, request: bytes, intended: float) -> None:
        self.intended = intended
        self.busy = True
        self.first = 0.0
        self._length = -1
        self._pieces = []
        self._received = 0
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._received += len(data)
        if self._length < 0 and not self._take_head():
            return
        if self.first == 0.0 and self._received > self._body:
            self.first = time.perf_counter()
        if self._length == 0:
            if not data.endswith(_END_OF_CHUNKS):
                return
        elif self._received < self._body + self._length:
            return
        self.last = time.perf_counter()
        self.busy = False
        self._ended(self)

    def _take_head(self) -> bool:
        head = b"".join(self._pieces)
        end = head.find(_END_OF_HEAD)
        if end < 0:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            self.busy = False
            self._broken(f"the server answered {head[:400]!r}")
        found = _LENGTH.search(head, 0, end)
        self._length = int(found[1]) if found else 0
        self._body = end + len(_END_OF_HEAD)
        return True

    def whole(self, stream: bool) -> bool:
        """Whether the answer is one."""
        answer = self._said()
        return _DONE in answer if stream else b'"choices"' in answer

    def _said(self) -> bytes:
        return b"".join(self._pieces)

    def close(self) -> None:
        self.busy = False
        self._transport.close()


@dataclass
class Load:
    """Calls of one kind to one server."""

    url: str
    requests: list[bytes]
    stream: bool

    async def closed(self, callers: int, seconds: float) -> Calls:
        """Each of the callers sends its next call when it has its answer."""
        calls, following = Calls(), cycle(self.requests)
        over = asyncio.get_running_loop().create_future()

        def ended(caller: _Caller) -> None:
            self._check(caller, over)
            calls.add(caller, end)
            if caller.last < end:
                caller.send(next(following), caller.last)
            elif not over.done() and not any(other.busy for other in connections):
                over.set_result(None)

        connections = await self._connect(callers, ended, over)
        end = time.perf_counter() + seconds
        for caller in connections:
            caller.send(next(following), time.perf_counter())
        with _closing(connections):
            await _ended_in_time(over, seconds)
            calls.unfinished = sum(caller.busy for caller in connections)
        return calls

    async def open(self, rate: float, seconds: float, connections: int, seed: int) -> Calls:
        """Poisson arrivals of `rate` a second, whatever the server does; one that finds no free
        connection waits, and its waiting counts."""
        calls, following = Calls(), cycle(self.requests)
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        due = deque(_arrivals(rate, seconds, seed)) or deque([0.0])
        expected = len(due)
        waiting: deque[float] = deque()
        timer = Timer()

        def ended(caller: _Caller) -> None:
            self._check(caller, over)
            calls.add(caller, end)
            if waiting:
                caller.send(next(following), waiting.popleft())
            else:
                idle.append(caller)
            if len(calls.taken) == expected and not over.done():
                over.set_result(None)

        def tick() -> None:
            timer.clear()
            now = time.perf_counter()
            while due and due[0] <= now:
                moment = due.popleft()
                if idle:
                    calls.late.append(now - moment)
                    idle.pop().send(next(following), moment)
                else:
                    waiting.append(moment)
            if due:
                timer.set(due[0])

        idle = await self._connect(connections, ended, over)
        begin = time.perf_counter() + 0.01
        end = begin + seconds
        due = deque(begin + moment for moment in due)
        loop.add_reader(timer.file, tick)
        timer.set(due[0])
        try:
            with _closing(list(idle)):
                await _ended_in_time(over, seconds)
        finally:
            loop.remove_reader(timer.file)
            timer.close()
        calls.unfinished = expected - len(calls.taken)
        return calls

    def _check(self, caller: _Caller, over: "asyncio.Future[None]") -> None:
        if not caller.whole(self.stream) and not over.done():
            over.set_exception(LoadError(f"{self.url} gave no whole answer"))

    async def _connect(
        self,
        number: int,
        ended: Callable[[_Caller], None],
        over: "asyncio.Future[None]",
    ) -> list[_Caller]:
        def broken(reason: str) -> None:
            if not over.done():
                over.set_exception(LoadError(f"{self.url}: {reason}"))

        address = urlsplit(self.url)
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(
                lambda: _Caller(ended, broken), address.hostname, address.port
            )
            for _ in range(number)
        ]
        return [caller for _, caller in made]


async def _ended_in_time(over: "asyncio.Future[None]", seconds: float) -> None:
    """Raises what the run met; a server that is too slow is none of that."""
    with suppress(TimeoutError):
        await asyncio.wait_for(over, seconds + _GRACE_S)


@contextmanager
def _closing(callers: list[_Caller]) -> Iterator[None]:
    try:
        yield
    finally:
        for caller in callers:
            caller.close()


def _arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments from 0 on: the same for every server."""
    chance = random.Random(seed)
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += chance.expovariate(rate)
