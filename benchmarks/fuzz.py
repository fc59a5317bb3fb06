"""The gateway's whole HTTP surface under fuzz, from its own OpenAPI description.

schemathesis makes requests that fit the description and requests that do not; some have ids in them
that exist, of the fuzzing tenant and of another, and keys that do not. A finding is an answer of
5xx, none within seconds, anything of the other tenant's in an answer, and anything in the journal
that the other tenant did not do, or that cannot be read. The environment that has schemathesis is
made for the run (requirements/fuzz.txt).

    python benchmarks/fuzz.py [--requests 10000] [--seed N] [--environment ENVIRONMENT]

The last line is a JSON object; the exit status is 0 where nothing was found.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
from traffic import scene
from traffic.process import HERE, REPOSITORY

from loop_platform.keys import create_key
from loop_platform.records import Call, Continued, Line, Opened, Record

_line = msgspec.json.Decoder(Line)


@dataclass
class Tenant:
    """Who calls, and what it left in the gateway."""

    name: str
    key: str
    call_ids: list[str] = field(default_factory=list)
    feedback_ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def planted(self) -> int:
        """Records in the journal."""
        return len(self.call_ids) + len(self.feedback_ids)

    def plant(self, url: str, mark: str, times: int) -> None:
        """Calls and feedback with `mark` in everything that a caller can say."""
        headers = {
            "authorization": f"Bearer {self.key}",
            "x-loop-task": f"task-{mark}",
            "x-loop-session": f"session-{mark}",
        }
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            for number in range(times):
                self._plant(client, mark, {"idempotency-key": f"order-{number}"})

    def _plant(self, client: httpx.Client, mark: str, headers: dict[str, str]) -> None:
        asked = {"model": "loop", "messages": [{"role": "user", "content": mark}], "user": mark}
        answer = client.post("/v1/chat/completions", json=asked, headers=headers)
        call_id = answer.raise_for_status().headers["x-loop-call-id"]
        self.call_ids.append(call_id)
        said = {"call_id": call_id, "kind": "correction", "correction": mark, "comment": mark}
        given = client.post("/v1/feedback", json=said | {"id": "one", "user": mark})
        self.feedback_ids.append(given.raise_for_status().json()["feedback_id"])
        link = client.post("/v1/feedback/links", json={"call_id": call_id})
        self.links.append(link.raise_for_status().json()["url"].rpartition("/")[2])


@contextlib.contextmanager
def environment(given: Path | None) -> Iterator[Path]:
    """The Python that has schemathesis."""
    if given is not None:
        yield given.absolute() / "bin" / "python"
        return
    with tempfile.TemporaryDirectory(prefix="loop-fuzz-env-") as name:
        lists = REPOSITORY / "requirements"
        command = [sys.executable, str(lists / "install.py"), name, "fuzz.txt"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        yield Path(name) / "bin" / "python"


def tenants(url: str) -> tuple[Tenant, Tenant]:
    """The one that fuzzes, and the one whose data it must not see."""
    database = sa.create_engine(url)
    with database.begin() as connection:
        found = [
            Tenant(name, create_key(connection, "contributor", name, name))
            for name in ("fuzzer", f"other-{secrets.token_hex(4)}")
        ]
    database.dispose()
    return found[0], found[1]


def fuzzed(python: Path, given: argparse.Namespace, known: dict[str, Any]) -> dict[str, Any]:
    """What the fuzzer saw, which is told what is `known` of the gateway."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(known | {"requests": given.requests, "seed": given.seed}, file)
        file.flush()
        command = [python, HERE / "traffic" / "fuzzer.py", file.name]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def journalled(folder: Path) -> Iterator[Record]:
    """Every record, shipped or not; raises where a line is none."""
    files = [*folder.glob("journal/*"), *folder.glob("lake/segments/*/*")]
    for file in {file.name.partition(".")[0]: file for file in files}.values():
        for line in file.read_bytes().splitlines():
            record = _line.decode(line)
            if not isinstance(record, Opened | Continued):
                yield record


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--environment", type=Path, help="one that has schemathesis, made before")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with this
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(environment(given.environment))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-fuzz-")))
        core = min(os.sched_getaffinity(0))
        engine = stack.enter_context(scene.engine(core))
        database, key = stack.enter_context(scene.database(folder, engine.url))
        data = folder / "gateway"
        with scene.gateway("gateway", database, key, core, data) as way:
            said, other = looked_at(python, given, way.server.url, database)
        records = list(journalled(data))
    of_other = sum(record.tenant == other.name and not _copy(record) for record in records)
    if of_other != other.planted:
        said["findings"].append(f"the other tenant has {of_other} records, not {other.planted}")
    print(json.dumps(said | {"seed": given.seed, "records": len(records)}))
    return 1 if said["findings"] else 0


def _copy(record: Record) -> bool:
    """Whether it is what the shadow made of a call."""
    return isinstance(record, Call) and record.route == "shadow"


def looked_at(
    python: Path, given: argparse.Namespace, url: str, database: str
) -> tuple[dict[str, Any], Tenant]:
    """What was found while the gateway ran, and whose data it was not to give away."""
    fuzzer, other = tenants(database)
    mark = f"mark{secrets.token_hex(8)}"
    fuzzer.plant(url, "own", 8)
    other.plant(url, mark, 8)
    known = {
        "url": url,
        "key": fuzzer.key,
        "own": [*fuzzer.call_ids, *fuzzer.feedback_ids, *fuzzer.links],
        "others": [*other.call_ids, *other.feedback_ids],
        "secrets": [mark, other.name, other.key],
    }
    said = fuzzed(python, given, known)
    health = httpx.get(f"{url}/healthz", timeout=60).json()
    if health["status"] != "ok" or health["unwritten_records"]:
        said["findings"].append(f"the gateway's health: {health}")
    return said, other


if __name__ == "__main__":
    sys.exit(main())
