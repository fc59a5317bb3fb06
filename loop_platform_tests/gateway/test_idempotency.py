"""A request that is sent twice under one key is answered once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from loop_platform.gateway.kept import Head, KeptAnswer, KeptAnswers
from loop_platform.settings import Settings
from loop_platform_tests.gateway.loop import Loop, eventually
from loop_platform_tests.gateway.scripted_peer import (
    EVENTS,
    Scripted,
    ScriptedPeer,
    chat_answer,
    events,
)
from loop_platform_tests.gateway.test_faults import gateway_process
from loop_platform_tests.gateway.test_journal import room_for

KEY = {"idempotency-key": "order-7"}

STREAM = events(
    {"choices": [{"index": 0, "delta": {"content": "one "}}]},
    {"choices": [{"index": 0, "delta": {"content": "two"}, "finish_reason": "stop"}]},
)

FIRST = STREAM.index(b"\n\n") + 2
"""Where its first event ends."""


def stream(loop: Loop, said: str = "count") -> tuple[httpx.Response, bytes]:
    body = {"model": "loop", "stream": True, "messages": [{"role": "user", "content": said}]}
    with loop.client.stream("POST", "/v1/chat/completions", json=body, headers=KEY) as response:
        return response, response.read()


@contextlib.contextmanager
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_the_second_request_gets_the_answer_of_the_first(scripted: Loop, peer: ScriptedPeer):
    first, second = scripted.chat(headers=KEY), scripted.chat(headers=KEY)
    assert first.content == second.content == chat_answer()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    for name in ("x-loop-call-id", "x-loop-release", "content-type", "content-length"):
        assert first.headers[name] == second.headers[name]
    assert len(peer.received) == 1
    assert len(scripted.calls()) == 1


def test_without_a_key_every_request_is_answered(scripted: Loop, peer: ScriptedPeer):
    scripted.chat()
    scripted.chat()
    assert len(peer.received) == 2
    assert not (scripted.settings.data_dir / "idempotency").exists()


def test_a_stream_is_kept_to_the_byte(scripted: Loop, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(STREAM, kind=EVENTS, piece=7)
    (first, one), (second, two) = stream(scripted), stream(scripted)
    assert one == two == STREAM
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(peer.received) == 1


def test_another_body_under_the_key_is_refused(scripted: Loop, peer: ScriptedPeer):
    scripted.chat("one", headers=KEY)
    response = scripted.chat("two", headers=KEY)
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("idempotency_key_reused", "Idempotency-Key")
    same = {"model": "loop", "messages": [{"role": "user", "content": "one"}]}
    other_path = scripted.client.post("/v1/responses", json=same, headers=KEY)
    assert other_path.status_code == 422
    assert len(peer.received) == 1


def test_another_body_is_refused_while_the_first_is_under_way(scripted: Loop, peer: ScriptedPeer):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with callers() as pool:
        first = pool.submit(scripted.chat, "one", headers=KEY)
        eventually(lambda: peer.received)
        assert scripted.chat("two", headers=KEY).status_code == 422
        go.set()
        assert first.result().status_code == 200


def test_each_caller_has_keys_of_its_own(scripted: Loop, peer: ScriptedPeer):
    first = scripted.chat(headers=KEY)
    scripted.key(name="eve")
    second = scripted.chat(headers=KEY)
    assert first.headers["x-loop-call-id"] != second.headers["x-loop-call-id"]
    assert len(peer.received) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(scripted: Loop, key: str):
    response = scripted.chat(headers={"idempotency-key": key.encode()})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "Idempotency-Key"


def test_a_request_waits_for_the_one_under_way(scripted: Loop, peer: ScriptedPeer):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with callers() as pool:
        answers = [pool.submit(scripted.chat, headers=KEY) for _ in range(8)]
        eventually(lambda: peer.received)
        assert not any(answer.done() for answer in answers)
        go.set()
        ids = {answer.result().headers["x-loop-call-id"] for answer in answers}
    assert len(ids) == 1
    assert len(peer.received) == 1
    replayed = [answer.result().headers.get("idempotent-replayed") for answer in answers]
    assert sorted(map(str, replayed)) == ["None", *["true"] * 7]


@pytest.mark.parametrize(
    "failure",
    [
        Scripted(b'{"error": {"message": "out of memory"}}', status=500),
        Scripted(b'{"error": {"message": "too many"}}', status=429),
        Scripted(b'{"error": {"message": "temperature"}}', status=400),
    ],
)
def test_a_failure_is_not_kept(scripted: Loop, peer: ScriptedPeer, failure: Scripted):
    answers = iter([failure, Scripted(chat_answer())])
    peer.answer = lambda asked: next(answers)
    assert scripted.chat(headers=KEY).status_code == failure.status
    assert scripted.chat(headers=KEY).status_code == 200
    assert scripted.chat(headers=KEY).headers["idempotent-replayed"] == "true"
    assert [call.status for call in scripted.calls()] == [failure.status, 200]


def test_a_stream_that_was_cut_is_not_kept(scripted: Loop, peer: ScriptedPeer):
    answers = iter([Scripted(STREAM[:FIRST], kind=EVENTS, cut=True), Scripted(STREAM, kind=EVENTS)])
    peer.answer = lambda asked: next(answers)
    assert b'"cut"' in stream(scripted)[1]
    response, body = stream(scripted)
    assert body == STREAM
    assert "idempotent-replayed" not in response.headers


def test_a_caller_that_gave_up_waiting_finds_its_answer_later(scripted: Loop, peer: ScriptedPeer):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with pytest.raises(httpx.ReadTimeout):
        scripted.client.post("/v1/chat/completions", json=_chat(), headers=KEY, timeout=0.5)
    with callers() as pool:
        again: Future[httpx.Response] = pool.submit(
            scripted.client.post, "/v1/chat/completions", json=_chat(), headers=KEY, timeout=30
        )
        go.set()
        assert again.result().content == chat_answer()
    assert peer.hung_up == 0
    (call,) = scripted.calls()
    assert call.call_id == again.result().headers["x-loop-call-id"]
    assert (call.status, call.complete) == (200, True)


def test_a_caller_that_leaves_a_stream_ends_it(scripted: Loop, peer: ScriptedPeer):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(STREAM, kind=EVENTS, go=go, first=FIRST)
    body = _chat() | {"stream": True}
    with scripted.client.stream("POST", "/v1/chat/completions", json=body, headers=KEY) as response:
        next(response.iter_raw())
    assert eventually(lambda: peer.hung_up) == 1
    assert scripted.call(response).status == 499
    peer.answer = lambda asked: Scripted(STREAM, kind=EVENTS)
    with scripted.client.stream("POST", "/v1/chat/completions", json=body, headers=KEY) as response:
        assert response.read() == STREAM


def test_one_who_waits_may_leave(scripted: Loop, peer: ScriptedPeer):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with callers() as pool:
        first = pool.submit(scripted.chat, headers=KEY)
        eventually(lambda: peer.received)
        with pytest.raises(httpx.ReadTimeout):
            scripted.client.post("/v1/chat/completions", json=_chat(), headers=KEY, timeout=0.5)
        go.set()
        assert first.result().status_code == 200
    assert len(scripted.calls()) == 1


def test_nobody_waits_longer_than_an_answer_may_take(
    settings: Settings, database: sa.Engine, peer: ScriptedPeer
):
    short = settings.gateway.model_copy(update={"upstream_timeout_s": 0.5})
    loop = Loop(settings.model_copy(update={"gateway": short}), database)
    key = loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    with loop.gateway():
        loop.chat(headers=KEY)
        (file,) = (settings.data_dir / "idempotency").glob("*/*")
        assert key not in file.read_text()
        another = KeptAnswer(file)
        assert another.hold()  # as a worker that hangs
        response = loop.chat(headers=KEY)
        another.let_go()
        assert loop.chat(headers=KEY).headers["idempotent-replayed"] == "true"
        another.close()
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "idempotency_key_in_use"
    assert "retry-after" in response.headers


def test_workers_and_restarts_know_the_same_keys(
    settings: Settings, database: sa.Engine, peer: ScriptedPeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with gateway_process(loop, workers=2), callers() as pool:
        answers = [pool.submit(_alone, loop, KEY) for _ in range(12)]
        eventually(lambda: peer.received)
        go.set()
        ids = {answer.result().headers["x-loop-call-id"] for answer in answers}
        assert len(ids) == 1
    with gateway_process(loop):
        assert loop.chat(headers=KEY).headers["x-loop-call-id"] in ids
    assert len(peer.received) == 1
    assert len(loop.calls()) == 1


def test_a_worker_that_is_killed_leaves_its_keys_to_the_next(
    settings: Settings, database: sa.Engine, peer: ScriptedPeer
):
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with gateway_process(loop) as process, callers() as pool:
        first = pool.submit(_alone, loop, KEY)
        eventually(lambda: peer.received)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert isinstance(first.exception(), httpx.TransportError)
    go.set()
    with gateway_process(loop):
        response = loop.chat(headers=KEY)
        assert response.status_code == 200
        assert "idempotent-replayed" not in response.headers
        assert loop.chat(headers=KEY).headers["idempotent-replayed"] == "true"


def test_an_answer_is_forgotten_when_its_time_is_over(scripted: Loop, peer: ScriptedPeer):
    scripted.chat(headers=KEY)
    (file,) = (scripted.settings.data_dir / "idempotency").glob("*/*")
    an_hour_ago = file.stat().st_mtime - 3601
    os.utime(file, (an_hour_ago, an_hour_ago))
    response = scripted.chat("something else", headers=KEY)
    assert response.status_code == 200
    assert "idempotent-replayed" not in response.headers
    assert len(peer.received) == 2


@pytest.mark.parametrize("place", [0, 3, 20, 90, -1])
def test_what_a_power_cut_spoilt_is_answered_anew(scripted: Loop, peer: ScriptedPeer, place: int):
    scripted.chat(headers=KEY)
    (file,) = (scripted.settings.data_dir / "idempotency").glob("*/*")
    content = bytearray(file.read_bytes())
    content[place] = 0
    file.write_bytes(content)
    response = scripted.chat(headers=KEY)
    assert response.content == chat_answer()
    assert "idempotent-replayed" not in response.headers
    assert scripted.chat(headers=KEY).headers["idempotent-replayed"] == "true"
    assert len(peer.received) == 2


def test_a_full_disk_refuses_what_it_cannot_keep(scripted: Loop, peer: ScriptedPeer):
    with room_for(40):
        response = scripted.chat(headers=KEY)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "answer_unwritable"
    assert peer.received == []
    assert list((scripted.settings.data_dir / "idempotency").glob("*/*")) == []
    assert scripted.chat(headers=KEY).status_code == 200


def test_a_full_disk_keeps_nothing_and_serves_where_the_settings_say_so(
    settings: Settings, database: sa.Engine, peer: ScriptedPeer
):
    serve = settings.gateway.model_copy(update={"on_disk_full": "serve"})
    loop = Loop(settings.model_copy(update={"gateway": serve}), database)
    loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    with loop.gateway():
        with room_for(40):
            assert loop.chat(headers=KEY).content == chat_answer()
        with room_for(100):  # the file can be begun, and not ended
            assert loop.chat(headers=KEY).content == chat_answer()
        response = loop.chat(headers=KEY)
    assert "idempotent-replayed" not in response.headers
    assert len(peer.received) == 3


def test_an_answer_that_is_not_recorded_is_not_kept(scripted: Loop, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(STREAM, kind=EVENTS)
    said = "x" * 3000
    with room_for(2000):  # enough for the answer, and not for its record
        body = stream(scripted, said)[1]
    assert b"journal_unwritable" in body
    assert stream(scripted, said)[1] == STREAM
    assert len(peer.received) == 2


def test_what_is_old_or_too_much_is_swept(tmp_path: Path):
    kept = KeptAnswers(tmp_path, ttl_s=3600, max_bytes=64 * 8192)
    names = [f"{number * 64:04x}{'0' * 60}" for number in range(5)]  # all in one part
    for age, name in enumerate(names):
        answer = kept.open(name)
        assert answer.hold()
        answer.begin("f" * 64)
        answer.write_head(Head(200, []))
        answer.write(b"x" * 2000)
        answer.keep()
        answer.close()
        (file,) = tmp_path.glob(f"*/{name}")
        moment = file.stat().st_mtime - 60 * age
        os.utime(file, (moment, moment))
    under_way = kept.open(f"{5 * 64:04x}{'0' * 60}")
    assert under_way.hold()
    under_way.begin("e" * 64)
    for _ in range(64):
        kept.sweep()
    left = {file.name for file in tmp_path.glob("*/*")}
    assert names[4] not in left
    assert f"{5 * 64:04x}{'0' * 60}" in left
    assert sum(file.stat().st_blocks * 512 for file in tmp_path.glob("*/*")) <= 8192
    for file in tmp_path.glob("*/*"):
        os.utime(file, (0, 0))
    for _ in range(64):
        kept.sweep()
    assert [file.name for file in tmp_path.glob("*/*")] == [f"{5 * 64:04x}{'0' * 60}"]
    under_way.close()
    assert list(tmp_path.glob("*/*")) == []


def _chat() -> dict[str, Any]:
    return {"model": "loop", "messages": [{"role": "user", "content": "hello"}]}


def _alone(loop: Loop, headers: dict[str, str]) -> httpx.Response:
    """On a connection of its own, so that any worker may get it."""
    with httpx.Client(base_url=loop.client.base_url, headers=loop.client.headers) as client:
        return client.post("/v1/chat/completions", json=_chat(), headers=headers, timeout=60)
