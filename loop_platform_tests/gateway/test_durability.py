"""What an answered call outlives: a killed gateway always, a power cut where it is asked for."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from loop_platform.gateway.commit import GroupCommit
from loop_platform.gateway.journal import Journal, JournalError, sealed_segments
from loop_platform.records import Call
from loop_platform.settings import Settings
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually
from loop_platform_tests.gateway.test_faults import free_port, gateway_process
from loop_platform_tests.gateway.test_journal import feedback


@contextlib.contextmanager
def traced(loop: Loop, log: Path) -> Iterator[None]:
    """A gateway that forces each record to the disk, and a log of its system calls."""
    port = free_port()
    environment = os.environ | {
        "LOOP_DATA_DIR": str(loop.settings.data_dir),
        "LOOP_DATABASE_URL": loop.settings.database_url or "",
        "LOOP_GATEWAY__PORT": str(port),
        "LOOP_GATEWAY__DURABILITY": "power",
        "LOOP_GATEWAY__SEGMENT_MAX_AGE_S": "600",
    }
    strace = shutil.which("strace")
    assert strace is not None, "strace is needed, which Debian's package of that name brings"
    calls = "trace=write,writev,sendto,sendmsg,fdatasync,fsync"
    command = [strace, "-f", "-y", "-s", "4096", "-e", calls, "-o", str(log)]
    process = subprocess.Popen(
        [*command, sys.executable, "-m", "loop_platform.gateway"],
        env=environment,
        start_new_session=True,
    )
    loop.client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _ready(loop.client), timeout_s=120)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/readyz").status_code == 200
    return False


def place(log: str, pattern: str, start: int = 0) -> int:
    """Where a system call is in the log; those of several threads stand in the order in which they
    began, one that was interrupted with its end in a line of its own."""
    found = re.compile(pattern).search(log, start)
    assert found is not None, f"{pattern} is not in the log"
    return found.start()


def test_every_answer_ends_after_its_record_was_forced_to_the_disk(
    settings: Settings, database: sa.Engine, champion: EnginePeer, tmp_path: Path
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    log = tmp_path / "system-calls"
    with traced(loop, log):
        whole = loop.chat("one two").headers["x-loop-call-id"]
        streamed = loop.stream("three four")[0].headers["x-loop-call-id"]
        failed = loop.chat("fail").headers["x-loop-call-id"]
        rating = {"call_id": whole, "kind": "rating", "rating": 5}
        given = loop.client.post("/v1/feedback", json=rating).json()["feedback_id"]
    text = log.read_text()
    ends = {
        rf'call\\",\\"schema_version\\":1,\\"call_id\\":\\"{whole}': rf"content-length.*{whole}",
        rf'call\\",\\"schema_version\\":1,\\"call_id\\":\\"{streamed}.*\[DONE\]': r"data: \[DONE\]",
        rf'call\\",\\"schema_version\\":1,\\"call_id\\":\\"{failed}': rf"500 Internal.*{failed}",
        rf'feedback\\".*{given}': rf"202 Accepted|feedback_id.*{given}",
    }
    for record, answer in ends.items():
        written = place(text, rf"write\(\d+<[^>]*\.open\.jsonl>, .*{record}")
        forced = place(
            text, r"(fdatasync\(\d+<[^>]*\.open\.jsonl>\) += 0|fdatasync resumed.*= 0)", written
        )
        left = place(
            text, rf"(write|writev|sendto|sendmsg)\(\d+<(?!/)[^>]*>, .*({answer})", written
        )
        assert written < forced < left


def test_calls_that_come_together_share_one_wait(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20)
    syncs = 0
    started, go_on = threading.Event(), threading.Event()

    def sync() -> None:
        nonlocal syncs
        syncs += 1
        started.set()
        go_on.wait(30)
        journal.sync()

    async def run() -> None:
        commit = GroupCommit(sync)
        first = asyncio.create_task(commit.wait())
        await asyncio.to_thread(started.wait, 30)
        others = [asyncio.create_task(commit.wait()) for _ in range(50)]
        await asyncio.sleep(0)
        assert not first.done()
        go_on.set()
        await asyncio.gather(first, *others)

    journal.append(feedback())
    asyncio.run(run())
    assert syncs == 2


def test_a_disk_that_fails_is_told_to_all_who_wait(tmp_path: Path):
    def sync() -> None:
        raise OSError(5, "Input/output error")

    async def run() -> list[object]:
        commit = GroupCommit(sync)
        waiting = [asyncio.create_task(commit.wait()) for _ in range(3)]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(error, JournalError) for error in asyncio.run(run()))


def test_records_are_forced_to_the_disk_whatever_file_they_are_in(tmp_path: Path):
    journal = Journal(tmp_path, 60, 1000)
    for _ in range(4):
        journal.append(feedback("y" * 600))
    journal.sync()  # of two files, the first of which waits to be sealed
    journal.seal(everything=True)
    journal.sync()
    assert len(sealed_segments(tmp_path)) == 2


def test_a_stream_under_way_when_the_gateway_is_killed_is_on_record_as_cut(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    body = {"model": "loop", "messages": [{"role": "user", "content": "slow"}], "stream": True}
    with gateway_process(loop) as process:
        whole = loop.chat()
        with loop.client.stream("POST", "/v1/chat/completions", json=body) as cut:
            pieces = cut.iter_raw()
            assert b"echo" in next(pieces)
            process.send_signal(signal.SIGKILL)
            process.wait()
            with pytest.raises(httpx.TransportError):
                next(pieces)
    assert [call.call_id for call in loop.calls()] == [whole.headers["x-loop-call-id"]]
    with gateway_process(loop):
        call = loop.call(cut)
    assert (call.status, call.streamed, call.complete) == (200, True, False)
    assert call.error == "the gateway was killed before the answer had ended"
    assert b"slow" in bytes(call.request)
    assert len([record for record in loop.records() if isinstance(record, Call)]) == 2
