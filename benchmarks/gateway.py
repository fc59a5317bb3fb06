"""What the gateway costs, beside a bare pass-through on the same HTTP stack and LiteLLM's proxy.

Each server has one core of its own; the other has the load generator and an engine that answers at
once. `passthrough` passes bytes on as one would write it (uvicorn, aiohttp), and is what "over the
pass-through" means in the ratios; `lean` does so over the connections that the gateway itself has
to engines, a third of aiohttp's cost: beside it one sees all of what logging and routing take, and
the `_over_lean` ratios are far lower. `gateway` is ours as it ships:
keys, a canary, 5 % shadow, journal; `power` is the same, with every record forced to the disk
before its answer ends. `litellm` has a key and logs nothing; its environment is made for the run.

Closed loop: every caller sends its next call when it has its answer. Open loop: Poisson arrivals at
half of the pass-through's capacity (LiteLLM: at half of its own), latencies counted from the
intended time of sending. A cell is void when the load generator's core was more than 85 % busy.

    python benchmarks/gateway.py [--json] [--quick] [--litellm ENVIRONMENT]
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from traffic import scene
from traffic.cell import Cell, Closed, Kind, Open, measure, median
from traffic.ratios import summary
from traffic.scene import Cores, Way

CALLERS = (1, 32, 256)
USERS = 64

COLUMNS = {
    "per_second": "calls/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "first_p50_ms": "first byte p50",
    "first_p99_ms": "first byte p99",
    "cpu_us": "CPU µs/call",
    "journal_bytes": "journal B/call",
    "load_core": "load core",
    "others": "others",
}


def bodies(stream: bool) -> list[bytes]:
    """Requests of several users, some of whom the canary has."""
    messages = [{"role": "user", "content": "word " * 40}]
    asked = {"model": "loop", "messages": messages, "stream": stream}
    return [json.dumps(asked | {"user": f"user-{number}"}).encode() for number in range(USERS)]


KINDS = (Kind("whole", False, bodies(False)), Kind("streamed", True, bodies(True)))


@contextlib.contextmanager
def all_ways(given: argparse.Namespace, cores: Cores) -> Iterator[list[Way]]:
    """The servers, each waiting to be measured."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-bench-")))
        engine = stack.enter_context(scene.engine(cores.load))
        url, key = stack.enter_context(scene.database(folder, engine.url))
        ways = [
            scene.pass_through("passthrough", engine.url, cores.server),
            scene.pass_through("lean", engine.url, cores.server, "lean"),
            scene.gateway("gateway", url, key, cores.server, folder / "process"),
            scene.gateway("power", url, key, cores.server, folder / "power", durability="power"),
        ]
        if not given.no_litellm:
            ways.append(scene.litellm(given.litellm, engine.url, cores.server))
        started = []
        for way in ways:
            started.append(stack.enter_context(way))
            started[-1].server.pause(True)
        yield started


def one_round(ways: Sequence[Way], seconds: float, cores: Cores, seed: int) -> Iterator[Cell]:
    for kind in KINDS:
        capacity: dict[str, float] = {}
        for callers in CALLERS:
            for way in ways:
                cell = measure(way, kind, Closed(callers), seconds, cores)
                capacity[way.name] = max(capacity.get(way.name, 0.0), cell.per_second)
                if callers == 32:
                    capacity[way.name] = cell.per_second
                yield cell
        for way in ways:
            of = "litellm" if way.name == "litellm" else "passthrough"
            yield measure(way, kind, Open(max(1.0, capacity[of] / 2), seed), seconds, cores)


def measured(given: argparse.Namespace, cores: Cores) -> Iterator[list[Cell]]:
    """Round by round; LiteLLM, which is far from close, in the first alone."""
    with all_ways(given, cores) as ways:
        for number in range(given.rounds):
            here = [way for way in ways if number == 0 or way.name != "litellm"]
            cells = []
            for cell in one_round(here, given.seconds, cores, seed=number):
                cells.append(cell)
                say(given, cell, number)
            yield cells


def say(given: argparse.Namespace, cell: Cell, number: int) -> None:
    if given.json:
        print(json.dumps({"round": number, **cell.row()}), flush=True)
        return
    print(
        f"round {number + 1}: {cell.way}, {cell.kind}, {cell.load}: {cell.per_second:.0f}/s",
        file=sys.stderr,
        flush=True,
    )


def table(rounds: Sequence[Sequence[Cell]]) -> str:
    """Medians over the rounds, in Markdown."""
    together: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in (cell for cells in rounds for cell in cells):
        together.setdefault((cell.kind, cell.load, cell.way), []).append(cell)
    lines = [
        "| answer | load | server | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|" + "---:|" * len(COLUMNS),
    ]
    for (kind, load, way), cells in sorted(together.items(), key=lambda each: each[0][:2]):
        values = asdict(median(cells))
        shown = (
            f"{values[name]:.3g}" if values[name] < 100 else f"{values[name]:.0f}"
            for name in COLUMNS
        )
        void = " (void)" if any(cell.void for cell in cells) else ""
        lines.append(f"| {kind} | {load} | {way}{void} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def machine(cores: Cores) -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "cores": asdict(cores),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def two_cores(text: str | None) -> Cores:
    usable = [int(core) for core in text.split(",")] if text else sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit(f"two cores are needed, and there are only {usable}")
    return Cores(server=usable[0], load=usable[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="a line a cell, the ratios last")
    parser.add_argument("--quick", action="store_true", help="does it run: one round, 1 s a cell")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each cell")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", help="of the servers and of the load, as in 0,1")
    parser.add_argument("--litellm", type=Path, help="an environment that has it, made before")
    parser.add_argument("--no-litellm", action="store_true", help="leave it out")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with this
    if given.quick:
        given.seconds, given.rounds = 1.0, 1
    cores = two_cores(given.cores)
    os.sched_setaffinity(0, {cores.load})
    rounds = list(measured(given, cores))
    figures = summary(rounds, litellm=not given.no_litellm) | {"machine": machine(cores)}
    if not given.json:
        print(table(rounds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
