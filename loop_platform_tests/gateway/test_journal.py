"""The journal's files: whole records, sealed when due, nothing of the living touched."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from loop_platform.gateway.journal import (
    Journal,
    JournalError,
    seal_abandoned,
    sealed_segments,
)
from loop_platform.identity import new_id
from loop_platform.records import Feedback, Record


def feedback(report: str = "x") -> Feedback:
    return Feedback(
        feedback_id=new_id(),
        call_id=new_id(),
        tenant="acme",
        contributor="ada",
        kind="report",
        received_at=0.0,
        report=report,
    )


def records(path: Path) -> list[Record]:
    decoder = msgspec.json.Decoder(Record)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_idle_journal_has_no_files(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    journal.seal(everything=True)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_is_sealed_by_age(tmp_path: Path):
    journal = Journal(tmp_path, 0.0, 2**20)
    entries = [feedback(), feedback()]
    for entry in entries:
        journal.append(entry)
    assert sealed_segments(tmp_path) == []
    journal.seal()
    (segment,) = sealed_segments(tmp_path)
    assert records(segment) == entries


def test_a_young_small_segment_stays_open(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    journal.append(feedback())
    journal.seal()
    assert sealed_segments(tmp_path) == []


def test_a_segment_is_sealed_by_size(tmp_path: Path):
    journal = Journal(tmp_path, 60, 1000)
    told = threading.Event()
    journal.when_full = told.set
    entries = [feedback("y" * 600) for _ in range(4)]
    for entry in entries:
        journal.append(entry)
    assert told.is_set()
    journal.seal()
    written = [entry for path in sealed_segments(tmp_path) for entry in records(path)]
    assert {entry.feedback_id for entry in written} == {entry.feedback_id for entry in entries}


def test_the_dead_are_sealed_and_the_living_left_alone(tmp_path: Path):
    living = Journal(tmp_path, 60, 2**20)
    living.append(feedback())
    (tmp_path / f"{new_id()}.open.jsonl").write_bytes(b'{"record": "feed')
    (tmp_path / f"{new_id()}.open.jsonl").write_bytes(b"")
    assert seal_abandoned(tmp_path) == 1
    (torn,) = sealed_segments(tmp_path)
    assert torn.read_bytes() == b'{"record": "feed'
    assert len(list(tmp_path.glob("*.open.jsonl"))) == 1
    living.append(feedback())


def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    journal.append(first := feedback())
    with room_for(1000):
        with pytest.raises(JournalError, match="cannot be written"):
            journal.append(feedback("z" * 2000))
        journal.append(second := feedback())  # there is room for a short one
    journal.append(third := feedback("z" * 2000))
    journal.seal(everything=True)
    (segment,) = sealed_segments(tmp_path)
    assert records(segment) == [first, second, third]
    assert journal.unwritten == 1


def test_threads_write_whole_lines(tmp_path: Path):
    journal = Journal(tmp_path, 60, 4000)

    def write() -> None:
        for _ in range(50):
            journal.append(feedback("w" * 500))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        journal.seal()
    journal.seal(everything=True)
    written = [entry for path in sealed_segments(tmp_path) for entry in records(path)]
    assert len({entry.feedback_id for entry in written}) == 200
