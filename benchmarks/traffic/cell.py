"""One cell of the table: one kind of call, at one load, to one server."""

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from traffic.load import Calls, Load, requests
from traffic.process import busy_s
from traffic.scene import Cores, Way

VOID_FROM = 0.85
"""Share of its core from which the load generator may be what is measured."""

_CONNECTIONS = 256
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Kind:
    name: str
    stream: bool
    bodies: Sequence[bytes]


@dataclass(frozen=True)
class Cell:
    way: str
    kind: str
    load: str
    """`closed 32`, or `open`."""
    calls: int
    unfinished: int
    """Calls without an answer half a minute after the end."""
    per_second: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    """To the first byte of the body."""
    first_p99_ms: float
    late_p99_ms: float
    """What the generator itself was late (open loop)."""
    cpu_us: float
    """Of the server, a call."""
    journal_bytes: float
    """A call."""
    load_core: float
    """Share of the time for which the core of the engine and of the load generator was busy."""
    others: float
    """Share of the server's core that something else took."""

    @property
    def void(self) -> bool:
        return self.load_core > VOID_FROM

    def row(self) -> dict[str, object]:
        return asdict(self) | {"void": self.void}


@dataclass(frozen=True)
class Closed:
    callers: int

    def __str__(self) -> str:
        return f"closed {self.callers}"

    async def run(self, load: Load, seconds: float) -> Calls:
        return await load.closed(self.callers, seconds)


@dataclass(frozen=True)
class Open:
    rate: float
    """Calls a second."""
    seed: int

    def __str__(self) -> str:
        return "open"

    async def run(self, load: Load, seconds: float) -> Calls:
        return await load.open(self.rate, seconds, _CONNECTIONS, self.seed)


def measure(way: Way, kind: Kind, how: Closed | Open, seconds: float, cores: Cores) -> Cell:
    load = Load(way.server.url, requests(way.server.url, way.key, list(kind.bodies)), kind.stream)
    way.server.pause(False)
    try:
        asyncio.run(how.run(load, min(_WARM_UP_S, seconds)))
        gc.collect()
        gc.disable()
        cpu, journalled = way.server.cpu_s(), way.journalled()
        busy_there, busy_here = busy_s(cores.server), busy_s(cores.load)
        began = time.perf_counter()
        calls = asyncio.run(how.run(load, seconds))
        taken = time.perf_counter() - began
        cpu = way.server.cpu_s() - cpu
        busy_there, busy_here = busy_s(cores.server) - busy_there, busy_s(cores.load) - busy_here
        journalled = way.journalled() - journalled
    finally:
        gc.enable()
        way.server.pause(True)
    number = max(1, len(calls.taken))
    return Cell(
        way=way.name,
        kind=kind.name,
        load=str(how),
        calls=len(calls.taken),
        unfinished=calls.unfinished,
        per_second=calls.in_time / seconds,
        p50_ms=_ms(calls.taken, 50),
        p99_ms=_ms(calls.taken, 99),
        first_p50_ms=_ms(calls.first, 50),
        first_p99_ms=_ms(calls.first, 99),
        late_p99_ms=_ms(calls.late, 99),
        cpu_us=cpu / number * 1e6,
        journal_bytes=journalled / number,
        load_core=busy_here / taken,
        others=max(0.0, busy_there - cpu) / taken,
    )


def median(cells: Sequence[Cell]) -> Cell:
    """Of the same cell in several rounds, value by value."""
    rows = [asdict(cell) for cell in cells]
    numbers = {
        name: statistics.median(row[name] for row in rows)
        for name, value in rows[0].items()
        if not isinstance(value, str)
    }
    return Cell(**(rows[0] | numbers))


def _ms(seconds: list[float], percentile: int) -> float:
    if len(seconds) < 2:
        return seconds[0] * 1000 if seconds else 0.0
    return statistics.quantiles(seconds, n=100, method="inclusive")[percentile - 1] * 1000
