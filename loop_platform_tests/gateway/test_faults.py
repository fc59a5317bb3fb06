"""What breaks around the gateway, and what callers and the journal see of it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import sqlalchemy as sa

from loop_platform import migrations
from loop_platform.database import database_url, route_counters, segments
from loop_platform.defs.telemetry.segment import read_segment
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually, in_the_future
from loop_platform_tests.gateway.test_journal import room_for


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@contextmanager
def gateway_process(loop: Loop, workers: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m loop_platform.gateway` on the test's settings."""
    port = free_port()
    environment = os.environ | {
        "LOOP_DATA_DIR": str(loop.settings.data_dir),
        "LOOP_DATABASE_URL": loop.settings.database_url or "",
        "LOOP_GATEWAY__PORT": str(port),
        "LOOP_GATEWAY__WORKERS": str(workers),
        "LOOP_GATEWAY__SEGMENT_MAX_AGE_S": "30",
    }
    process = subprocess.Popen([sys.executable, "-m", "loop_platform.gateway"], env=environment)
    loop.client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _ready(loop.client), timeout_s=120)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def shipped(database: sa.Engine) -> int:
    with database.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(segments)) or 0


def test_a_killed_gateway_has_its_calls_on_disk_and_the_next_one_ships_them(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with gateway_process(loop) as process:
        answer = loop.chat()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [call.call_id for call in loop.calls()] == [answer.headers["x-loop-call-id"]]
    assert shipped(database) == 0
    with gateway_process(loop):
        eventually(lambda: shipped(database))
        body = {"call_id": answer.headers["x-loop-call-id"], "kind": "rating", "rating": 5}
        assert loop.client.post("/v1/feedback", json=body).status_code == 202
    assert shipped(database) == 2  # the second was sealed and shipped on the way out
    assert len(loop.records()) == 2
    assert list((settings.data_dir / "journal").iterdir()) == []


def test_several_workers_share_a_port_a_secret_and_an_end(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with gateway_process(loop, workers=2) as process:
        for _ in range(20):
            with httpx.Client(base_url=loop.client.base_url, headers=loop.client.headers) as client:
                asked = {"model": "loop", "messages": [{"role": "user", "content": "hello"}]}
                answer = client.post("/v1/chat/completions", json=asked)
                call_id = answer.headers["x-loop-call-id"]
            body = {"call_id": call_id, "kind": "outcome", "outcome": True}
            assert loop.client.post("/v1/feedback", json=body).status_code == 202
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: not _ready(loop.client))  # its workers end with it
    eventually(lambda: not list((settings.data_dir / "journal").iterdir()))
    assert len(loop.records()) == 40


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can reach (as `postgres_folder` in ../conftest.py)."""
    with tempfile.TemporaryDirectory(prefix="loop-gateway-") as name:
        yield Path(name)


def test_calls_go_on_while_the_database_is_away(open_folder: Path, champion: EnginePeer):
    """On the last known champion; the canary's and the shadow's leases run out."""
    settings = Settings(
        data_dir=open_folder,
        gateway={"segment_max_age_s": 0.2},  # type: ignore[arg-type]
    )
    database = sa.create_engine(database_url(settings), pool_pre_ping=True)
    loop = Loop(settings, database)
    with postgres.running(settings.data_dir):
        migrations.upgrade(database)
        loop.key()
        loop.route(
            champion="r-1",
            champion_url=champion.url,
            canary="r-2",
            canary_url=champion.url,
            canary_model="r-1",
            canary_share=1.0,
            shadow="r-3",
            shadow_url=champion.url,
            shadow_model="r-1",
            shadow_share=1.0,
            lease_until=in_the_future(4),
        )
        gateway = loop.gateway()
        gateway.__enter__()
        first = loop.chat()
        assert first.headers["x-loop-release"] == "r-2"
        eventually(lambda: shipped(database) == 1)
    try:
        assert all(loop.chat().status_code == 200 for _ in range(3))
        eventually(lambda: loop.chat().headers["x-loop-release"] == "r-1")  # nobody renews a lease
        feedback = {"call_id": first.headers["x-loop-call-id"], "kind": "rating", "rating": 1}
        response = loop.client.post("/v1/feedback", json=feedback)
        assert response.status_code == 202
        path = f"/v1/feedback/{response.json()['feedback_id']}"
        assert loop.client.get(path).status_code == 503
        assert not [call for call in loop.calls() if call.route == "shadow"]
        calls, records = len(loop.calls()), len(loop.records())
        assert calls == records - 1
        with postgres.running(settings.data_dir):
            eventually(lambda: shipped(database) >= 2)
            eventually(lambda: not list((settings.data_dir / "journal").iterdir()))
            assert len(loop.records()) == records
            assert loop.client.get(path).status_code == 200
            eventually(lambda: _counted(database) == calls)
            assert loop.client.get("/healthz").json()["status"] == "ok"
            loop.key()  # a key that was made since works at once
            assert loop.chat().status_code == 200
            gateway.__exit__(None, None, None)
    finally:
        database.dispose()


def _counted(database: sa.Engine) -> int:
    with database.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.sum(route_counters.c.calls))) or 0)


def test_a_full_disk_refuses_calls_and_feedback(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    with room_for(2000):
        response = loop.chat("x" * 3000)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "journal_unwritable"
        assert "retry-after" in response.headers
        response, body = loop.stream("x " * 1500)
        assert b"[DONE]" not in body
        assert b"journal_unwritable" in body
        feedback = {"call_id": call_id, "kind": "report", "report": "x" * 3000}
        assert loop.client.post("/v1/feedback", json=feedback).status_code == 503
    assert loop.chat().status_code == 200
    assert loop.client.get("/healthz").json()["unwritten_records"] == 3
    assert len(loop.calls()) == 2


def test_a_disk_that_fills_up_in_mid_stream_ends_it_with_an_error(loop: Loop):
    body = {"model": "loop", "messages": [{"role": "user", "content": "x " * 200}], "stream": True}
    with room_for(4000), loop.client.stream("POST", "/v1/chat/completions", json=body) as response:
        said = response.read()
    assert response.status_code == 200  # there was room for what is entered of its beginning
    assert said.count(b'"content": "x ') == 200
    assert b"journal_unwritable" in said
    assert b"[DONE]" not in said
    assert loop.client.get("/healthz").json()["unwritten_records"] == 1


def test_a_full_disk_serves_and_counts_where_the_settings_say_so(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    serve = settings.gateway.model_copy(update={"on_disk_full": "serve"})
    loop = Loop(settings.model_copy(update={"gateway": serve}), database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway(), room_for(2000):
        assert loop.chat("x" * 3000).status_code == 200
        assert b"[DONE]" in loop.stream("x " * 1500)[1]
        assert loop.client.get("/healthz").json()["unwritten_records"] == 2


OLDER = (
    b'{"record":"call","call_id":"01a2090c-cbc3-7dc1-8b3d-ef9e029e9be3","tenant":"acme",'
    b'"key_id":"k","session":null,"user":null,"task":"t","release":"r-0","route":"champion",'
    b'"endpoint":"/v1/chat/completions","started_at":1.0,"first_byte_ms":1.0,"latency_ms":2.0,'
    b'"status":200,"streamed":true,"complete":true,"request":{"model":"loop"},"response":"x"}\n'
    b'{"record":"feedback","feedback_id":"01a2090c-cbc4-7dc1-8b3d-ef9e029e9be3","call_id":'
    b'"01a2090c-cbc3-7dc1-8b3d-ef9e029e9be3","tenant":"acme","contributor":"ada",'
    b'"kind":"rating","received_at":1.0,"rating":4}\n'
)
"""Of a gateway whose records had no schema version, and which entered no stream that began."""


@pytest.mark.parametrize("name", ["open.jsonl", "jsonl"])
def test_a_journal_of_an_older_version_is_taken_over(
    settings: Settings, database: sa.Engine, champion: EnginePeer, name: str
):
    journal = settings.data_dir / "journal"
    journal.mkdir(parents=True)
    (journal / f"01a2090c-cbc2-7dc1-8b3d-ef9e029e9be3.{name}").write_bytes(OLDER)
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        eventually(lambda: shipped(database))
        assert loop.chat().status_code == 200
    with database.connect() as connection:
        paths = list(connection.scalars(sa.select(segments.c.path).order_by(segments.c.sealed_at)))
    old, new = ((Path(settings.lake) / path).read_bytes() for path in paths)
    assert old == OLDER
    hour = "2026-11-23-15:00"
    content = read_segment(old)
    assert [call.release for call in content.calls[hour]] == ["r-0"]
    assert [given.rating for given in content.feedback[hour]] == [4]
    assert not content.aside
    assert [call.release for calls in read_segment(new).calls.values() for call in calls] == ["r-1"]


def test_a_killed_worker_is_replaced_and_its_calls_are_shipped_by_the_others(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)

    def call() -> str:
        with httpx.Client(base_url=loop.client.base_url, headers=loop.client.headers) as client:
            asked = {"model": "loop", "messages": [{"role": "user", "content": "hello"}]}
            return client.post("/v1/chat/completions", json=asked).headers["x-loop-call-id"]

    with gateway_process(loop, workers=2) as process:
        answered = {call() for _ in range(20)}
        first = workers_of(process)
        killed = first.pop()
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: len(workers_of(process) - {killed}) == 2, timeout_s=120)
        eventually(lambda: _ready(loop.client))
        answered |= {call() for _ in range(20)}
    assert {call.call_id for call in loop.calls()} == answered
    assert not list((settings.data_dir / "journal").iterdir())


def workers_of(process: "subprocess.Popen[bytes]") -> set[int]:
    """The processes that serve."""
    children = psutil.Process(process.pid).children()
    return {
        child.pid
        for child in children
        if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline())
    }


def test_a_call_under_way_when_the_gateway_stops_is_on_record(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    body = {"model": "loop", "messages": [{"role": "user", "content": "slow"}], "stream": True}
    with ExitStack() as caller:
        with loop.gateway():
            answer = loop.client.stream("POST", "/v1/chat/completions", json=body)
            pieces = caller.enter_context(answer).iter_raw()
            next(pieces)
        (call,) = loop.calls()
    assert (call.status, call.complete, call.error) == (500, False, "the gateway broke off")
    assert "echo" in call.response
