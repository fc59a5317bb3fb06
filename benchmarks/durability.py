"""Nothing lost: the gateway is killed with -9 at random moments under load, and started again.

Callers write down the calls whose last byte they got, the streams that broke off, and the feedback
that was accepted. In the end the platform's own telemetry makes rows of the journal, and each has
to be there exactly once: the answered as complete, the cut streams as cut. (One that was cut after
its record was written and before its last bytes left is recorded as complete: `cut_at_the_end`.)

    python benchmarks/durability.py [--json] [--kills 50] [--durability power] [--workers 1]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
import dagster as dg
import polars as pl
import sqlalchemy as sa
from traffic import scene
from traffic.ledger import Callers, Ledger
from traffic.process import free_port

from loop_platform import manifest
from loop_platform.database import segment_hours
from loop_platform.defs.resources import resources
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.lake import Lake
from loop_platform.settings import Settings

CALLERS = 16
PAUSE_S = 0.005
"""Between two events of the engine's streams, which take a third of a second so."""


class Gateway:
    """`python -m loop_platform.gateway`, as often as it takes."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | environment | {"LOOP_GATEWAY__PORT": str(port)}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, timeout_s: float = 300.0) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loop_platform.gateway"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own: its workers are killed with it
        )
        deadline = time.monotonic() + timeout_s
        async with aiohttp.ClientSession() as session:
            while not await _ready(session, self.url):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the gateway did not start within {timeout_s:g} s")
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """It ships what it has on the way out."""
        self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, by)
        self._process.wait(120)


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def killed(gateway: Gateway, key: str, kills: int, seed: int) -> Ledger:
    """What the callers were told while the gateway was killed so many times."""
    chance = random.Random(seed)
    callers = Callers(gateway.url, key, CALLERS, seed)
    await gateway.start()
    load = asyncio.create_task(callers.run())
    for number in range(kills):
        before = len(callers.ledger.answered)
        while len(callers.ledger.answered) == before:  # nothing can be lost before
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        gateway.kill()
        print(f"kill {number + 1} of {kills}", file=sys.stderr, flush=True)
        await gateway.start()
    callers.stop()
    await load
    gateway.stop()
    return callers.ledger


def rows(settings: Settings, database: sa.Engine, asset: str) -> pl.DataFrame:
    with database.connect() as connection:
        hours = list(connection.scalars(sa.select(segment_hours.c.hour).distinct()))
        return manifest.rows(connection, Lake(settings.lake), asset, hours=hours).collect()


def converted(settings: Settings, database: sa.Engine) -> None:
    """Has the platform make rows of what was shipped."""
    with database.connect() as connection:
        hours = list(connection.scalars(sa.select(segment_hours.c.hour).distinct()))
    quiet = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
    for hour in sorted(hours):
        dg.materialize(
            [calls, feedback],
            partition_key=hour,
            resources=resources(settings),
            run_config=quiet,
        )


def held_against(ledger: Ledger, found: pl.DataFrame, given: pl.DataFrame) -> dict[str, object]:
    """What the callers were told against the rows."""
    times = Counter(found["call_id"]) + Counter(given["feedback_id"])
    complete = set(found.filter(pl.col("complete"))["call_id"])
    incomplete = set(found.filter(~pl.col("complete"))["call_id"])
    return {
        "answered": len(ledger.answered),
        "lost": len(ledger.answered - complete) + len(ledger.feedback - times.keys()),
        "duplicated": sum(number > 1 for number in times.values()),
        "feedback": len(ledger.feedback),
        "cut": len(ledger.cut),
        "cut_lost": len(ledger.cut - complete - incomplete),
        "cut_at_the_end": len(ledger.cut & complete),
        "refused": ledger.refused,
        "rows": found.height,
        "left_in_the_journal": 0,
    }


def measured(given: argparse.Namespace) -> dict[str, object]:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-durability-")))
        core = min(os.sched_getaffinity(0))
        engine = stack.enter_context(scene.engine(core, PAUSE_S))
        url, key = stack.enter_context(scene.database(folder, engine.url))
        settings = Settings(data_dir=folder / "gateway", database_url=url)
        environment = {
            "LOOP_DATA_DIR": str(settings.data_dir),
            "LOOP_DATABASE_URL": url,
            "LOOP_GATEWAY__DURABILITY": given.durability,
            "LOOP_GATEWAY__WORKERS": str(given.workers),
            "LOOP_GATEWAY__SEGMENT_MAX_AGE_S": "0.5",  # kills fall between all stages of shipping
        }
        gateway = Gateway(environment, free_port())
        stack.callback(gateway.kill)
        ledger = asyncio.run(killed(gateway, key, given.kills, given.seed))
        database = sa.create_engine(url)
        stack.callback(database.dispose)
        converted(settings, database)
        found = held_against(
            ledger,
            rows(settings, database, "telemetry/calls"),
            rows(settings, database, "telemetry/feedback"),
        )
        found["left_in_the_journal"] = len(list((settings.data_dir / "journal").iterdir()))
    took = {"seconds": round(time.monotonic() - began, 1)}
    return {"kills": given.kills, **found, "durability": given.durability, **took}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line alone")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--durability", choices=["process", "power"], default="process")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with this
    found = measured(given)
    if not given.json:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):>22}  {value}")
    print(json.dumps(found))
    return 1 if found["lost"] or found["duplicated"] or found["cut_lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
