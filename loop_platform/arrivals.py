"""What was trained elsewhere and takes the gates like any other candidate.

It comes with a cycle of its own, of the kind `import`, which has the rows of the newest cycle: on
what that holds out it is tested. What it was trained on lies where a trainer's files would lie, so
that the gates find a test that it has seen, `loop erase` finds what it learned, and later cycles
hold none of it out.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from loop_platform.database import cycles
from loop_platform.engine.adapter import CONFIG, check, check_no_pickle, check_servable
from loop_platform.engine.rows import content_hash
from loop_platform.release.registry import Release

KIND = "import"

_FILE = "arrival.json"
_BROUGHT = "brought"
# Where a row keeps its conversation: that of `loop export openrlhf`, and what others call it.
_CONVERSATIONS = ("messages", "chosen", "input", "prompt")
_FILES = ("*.safetensors", "*.json")


class ArrivalRefusedError(ValueError):
    """What was brought, or what is said of it, is not what it should be."""


class Arrived(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a cycle of the kind `import` brought."""

    sits_on: str
    """The release that it was trained on."""
    note: str
    """Where it came from."""
    rows: int
    """What it was trained on."""
    data_sha256: str


@dataclass(frozen=True)
class Brought:
    """What somebody brings: the folder, the release that it was trained on, and from what."""

    folder: Path
    sits_on: Release
    trained_on: Sequence[Path]
    note: str


def bring(connection: sa.Connection, data_dir: Path, brought: Brought, tested_on: str) -> str:
    """Open a cycle for it; returns the cycle's name. The caller's transaction makes it count.

    Raises:
        ArrivalRefusedError: it is neither an adapter nor a model, or a row of what it was trained
            on is none.
        AdapterRefusedError: it may hold code, or is no plain LoRA.
        OSError: a file cannot be read or written.
    """
    _check(brought.folder)
    rows = list(_rows(brought.trained_on))
    if not rows:
        raise ArrivalRefusedError("there is no row in what it was trained on")
    cycle = _open(connection, brought, tested_on)
    folder = data_dir / "cycles" / cycle
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _BROUGHT).mkdir(parents=True)
    for pattern in _FILES:
        for file in brought.folder.glob(pattern):
            shutil.copyfile(file, folder / _BROUGHT / file.name)
    corrections, replay = folder / "corrections.jsonl", folder / "replay.jsonl"
    corrections.write_text("".join(json.dumps(row) + "\n" for row in rows))
    replay.touch()
    arrived = Arrived(
        sits_on=brought.sits_on.release,
        note=brought.note,
        rows=len(rows),
        data_sha256=content_hash(corrections, replay),
    )
    (folder / _FILE).write_bytes(msgspec.json.encode(arrived))
    return cycle


def find(connection: sa.Connection, data_dir: Path, cycle: str) -> tuple[Arrived, Path] | None:
    """What a cycle brought, and its folder; None of a cycle that trains.

    Raises:
        OSError: its folder is gone.
    """
    query = sa.select(cycles.c.kind).where(cycles.c.cycle == cycle)
    if connection.scalar(query) != KIND:
        return None
    folder = data_dir / "cycles" / cycle
    return msgspec.json.decode((folder / _FILE).read_bytes(), type=Arrived), folder / _BROUGHT


def _check(folder: Path) -> None:
    if (folder / CONFIG).is_file():
        check(folder)
        check_servable(folder)
        return
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ArrivalRefusedError(
            f"{folder} has neither an {CONFIG} nor a config.json with safetensors: it is no"
            " adapter, and no model"
        )
    check_no_pickle(folder)


def _open(connection: sa.Connection, brought: Brought, tested_on: str) -> str:
    query = sa.select(sa.func.count()).where(cycles.c.kind == KIND, cycles.c.drill_of == tested_on)
    earlier = connection.scalar(query) or 0
    cycle = f"{tested_on}-import" + (f"-{earlier + 1}" if earlier else "")
    reason = f"{brought.note}, to be tested on what cycle {tested_on} holds out"
    values = {"cycle": cycle, "kind": KIND, "drill_of": tested_on, "reason": reason}
    connection.execute(sa.insert(cycles).values(values))
    return cycle


def _rows(trained_on: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Each conversation once, as the trainer would have read it."""
    seen = set()
    for path in trained_on:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            raise ArrivalRefusedError(f"{path} has no .jsonl file")
        for file in files:
            for row in _lines(file):
                key = json.dumps(row)
                if key not in seen:
                    seen.add(key)
                    yield row


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    # Not `splitlines`: JSON may hold characters that end a line for it.
    for number, line in enumerate(file.read_text().split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _row(json.loads(line))
        except ValueError as error:
            raise ArrivalRefusedError(f"{file}, line {number}: {error}") from error


def _row(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError("it is no object")
    said = next((row[name] for name in _CONVERSATIONS if row.get(name)), None)
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise ValueError(f"it has no conversation in any of {', '.join(_CONVERSATIONS)}")
    if said[-1].get("role") == "assistant":
        return {"messages": said[:-1], "answer": said[-1].get("content") or ""}
    return {"messages": said, "answer": str(row.get("label", ""))}
