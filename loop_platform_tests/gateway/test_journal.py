"""The journal's files: whole records, sealed when due, nothing of the living touched."""

import os
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
from loop_platform.records import Call, Continued, Feedback, Line, Opened
from loop_platform_tests.segments import a_call


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


def records(path: Path) -> list[Line]:
    decoder = msgspec.json.Decoder(Line)
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
    # Segments of one millisecond come in no order.
    sealed = [entry for path in sealed_segments(tmp_path) for entry in records(path)]
    assert sorted(sealed, key=entries.index) == entries


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


def a_stream() -> Call:
    """As it is entered when it begins."""
    return a_call(streamed=True, complete=False, error="killed", response="")


def die(journal: Journal) -> None:
    """Lets go of the journal's files as a killed process does."""
    for segment in (*journal._finished, journal._segment):
        if segment is not None:
            os.close(segment._file)


def calls(folder: Path) -> list[Call]:
    lines = (line for path in sealed_segments(folder) for line in records(path))
    return [line for line in lines if isinstance(line, Call)]


def test_a_stream_that_ended_with_its_writer_is_entered_as_cut(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    cut, ended = a_stream(), a_stream()
    journal.open(cut)
    journal.open(ended)
    journal.append(msgspec.structs.replace(ended, complete=True, error=None))
    die(journal)
    assert seal_abandoned(tmp_path) == 1
    found = {call.call_id: call.complete for call in calls(tmp_path)}
    assert found == {cut.call_id: False, ended.call_id: True}
    assert len(calls(tmp_path)) == 2


def test_a_torn_line_does_not_hide_the_streams_that_were_cut(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    journal.open(cut := a_stream())
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b'{"record":"call","call_id":"0')
    die(journal)
    seal_abandoned(tmp_path)
    (segment,) = sealed_segments(tmp_path)
    first, torn, last = segment.read_bytes().splitlines()
    assert torn == b'{"record":"call","call_id":"0'
    assert msgspec.json.decode(last, type=Call) == cut
    assert msgspec.json.decode(first, type=Line) == Opened(cut)


def test_a_stream_goes_with_its_writer_from_file_to_file(tmp_path: Path):
    journal = Journal(tmp_path, 0.0, 2**20)
    journal.open(cut := a_stream())
    journal.open(ended := a_stream())
    journal.seal()
    (first,) = sealed_segments(tmp_path)
    assert records(first) == [Opened(cut), Opened(ended), Continued()]
    journal.append(msgspec.structs.replace(ended, complete=True, error=None))
    die(journal)
    assert seal_abandoned(tmp_path) == 1
    assert {call.call_id: call.complete for call in calls(tmp_path)} == {
        cut.call_id: False,
        ended.call_id: True,
    }


def test_a_writer_killed_before_it_sealed_enters_no_stream_twice(tmp_path: Path):
    journal = Journal(tmp_path, 60, 1)  # each record fills a file
    journal.open(cut := a_stream())
    journal.open(ended := a_stream())
    journal.append(msgspec.structs.replace(ended, complete=True, error=None))
    die(journal)
    assert seal_abandoned(tmp_path) == 4
    assert sorted(call.call_id for call in calls(tmp_path)) == sorted([cut.call_id, ended.call_id])


def test_a_recovery_that_is_broken_off_is_taken_up_again(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    streams = [a_stream() for _ in range(3)]
    for stream in streams:
        journal.open(stream)
    size = next(tmp_path.iterdir()).stat().st_size
    die(journal)
    with room_for(size + size // 3), pytest.raises(OSError, match="too large"):
        seal_abandoned(tmp_path)
    assert seal_abandoned(tmp_path) == 1
    (segment,) = sealed_segments(tmp_path)
    whole = []
    for line in segment.read_bytes().splitlines():
        try:
            whole.append(msgspec.json.decode(line, type=Line))
        except msgspec.DecodeError:
            continue  # torn by the break
    entered = [line.call_id for line in whole if isinstance(line, Call)]
    assert sorted(entered) == sorted(stream.call_id for stream in streams)
