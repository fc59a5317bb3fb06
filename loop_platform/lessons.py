"""What a release learnt from: the rows of its training, and of every training that it goes on from.

They are read where the trainer read them, not where they came from: a test that asks whether it is
one needs what happened, not what was meant to happen.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import sqlalchemy as sa

from loop_platform.database import cycles, releases
from loop_platform.defs.review.candidates import last_user_message
from loop_platform.engine.rows import content_hash
from loop_platform.release import registry
from loop_platform.release.registry import Release

Kind = Literal["corrections", "replay", "thumbs", "rehearsal"]
_ALWAYS: tuple[Kind, ...] = ("corrections", "replay")
_SOMETIMES: tuple[Kind, ...] = ("thumbs", "rehearsal")
_FILES = (
    "corrections.jsonl",
    "replay.jsonl",
    "preferences.jsonl",
    "thumbs.jsonl",
    "rehearsal.jsonl",
)
"""What a trainer reads, in its order; the last three where there is any. Preferences are
corrections again, with the answers that they stand against."""


class LessonsLostError(RuntimeError):
    """A training whose files are not there."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is not there: nobody can tell what cycle {file.parent.name} trained on."
            " Put the folder back, or train another cycle from the base model"
        )


@dataclass(frozen=True)
class Line:
    """One row that was trained on, where it stands, and what the user said last in it."""

    cycle: str
    kind: Kind
    number: int
    question: str

    def __str__(self) -> str:
        return f"line {self.number} of {self.kind}.jsonl, cycle {self.cycle}"


@dataclass(frozen=True)
class Lessons:
    """What one cycle trained on."""

    cycle: str
    lines: tuple[Line, ...]
    sha256: str
    """Of the files, as the trainer writes it into its record (`data_sha256`)."""

    def missing(self, record: Mapping[str, object]) -> int:
        """How many rows fewer there are than the training recorded. Only `loop erase` takes any.

        Those that it held apart, to choose by them what it kept, count as read.
        """
        apart = record.get("held_apart")
        counts = [record, *([apart] if isinstance(apart, Mapping) else [])]
        recorded = sum(
            count
            for each in counts
            for kind in get_args(Kind)
            if isinstance(count := each.get(kind), int)
        )
        return max(0, recorded - len(self.lines))


def read(data_dir: Path, cycle: str) -> Lessons:
    """The lessons of a cycle.

    Raises:
        LessonsLostError: a file of its training is gone.
    """
    folder = data_dir / "cycles" / cycle
    files: dict[Kind, Path] = {kind: folder / f"{kind}.jsonl" for kind in _ALWAYS}
    for file in files.values():
        if not file.is_file():
            raise LessonsLostError(file)
    files |= {kind: file for kind in _SOMETIMES if (file := folder / f"{kind}.jsonl").is_file()}
    lines = (line for kind, file in files.items() for line in _lines(file, cycle, kind))
    read = [folder / name for name in _FILES if (folder / name).is_file()]
    return Lessons(cycle, tuple(lines), content_hash(*read))


def lineage(connection: sa.Connection, release: Release) -> list[tuple[str, Release]]:
    """The release and all that its training goes on from, newest first, each with its cycle.
    Without the base model, which no cycle trained."""
    found = []
    while release.cycle is not None:
        found.append((release.cycle, release))
        if release.parent is None:
            break
        release = registry.find(connection, release.parent)
    return found


def before(connection: sa.Connection, cycle: str) -> list[str]:
    """The earlier cycles that came to a release in earnest, oldest first: what a release of `cycle`
    may go on from. Those that brought one from elsewhere too."""
    opened = sa.select(cycles.c.opened_at).where(cycles.c.cycle == cycle).scalar_subquery()
    query = (
        sa.select(cycles.c.cycle)
        .join(releases, releases.c.cycle == cycles.c.cycle)
        .where(cycles.c.kind != "drill", cycles.c.opened_at < opened)
        .group_by(cycles.c.cycle)
        .order_by(sa.func.min(cycles.c.opened_at))
    )
    return list(connection.scalars(query))


def _lines(file: Path, cycle: str, kind: Kind) -> Iterator[Line]:
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip():
            yield Line(cycle, kind, number, last_user_message(json.loads(line)["messages"]))
