"""What a caller may not do: heads without end, requests a byte at a time, answers left lying."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa

from loop_platform.settings import Settings
from loop_platform_tests.gateway.loop import Loop, eventually
from loop_platform_tests.gateway.scripted_peer import (
    EVENTS,
    Scripted,
    ScriptedPeer,
    chat_answer,
    events,
)

Bounded = Callable[..., contextlib.AbstractContextManager[Loop]]


@pytest.fixture
def bounded(settings: Settings, database: sa.Engine, peer: ScriptedPeer) -> Bounded:
    """Runs a gateway with these of its settings."""

    @contextlib.contextmanager
    def run(**limits: object) -> Iterator[Loop]:
        gateway = settings.gateway.model_copy(update=limits)
        loop = Loop(settings.model_copy(update={"gateway": gateway}), database)
        loop.key()
        loop.route(champion="r-1", champion_url=peer.url)
        with loop.gateway():
            yield loop

    return run


@contextlib.contextmanager
def connected(loop: Loop, buffer: int | None = None) -> Iterator[socket.socket]:
    """A caller's socket, one that holds little on request."""
    with socket.socket() as caller:
        if buffer is not None:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        caller.settimeout(60)
        url = loop.client.base_url
        caller.connect((url.host, url.port))
        yield caller


def head(loop: Loop, size: int, *more: str) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: loop",
        f"authorization: {loop.client.headers['authorization']}",
        f"content-length: {size}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def request(loop: Loop, *, stream: bool = False, said: str = "hello") -> bytes:
    messages = [{"role": "user", "content": said}]
    body = json.dumps({"model": "loop", "stream": stream, "messages": messages}).encode()
    return head(loop, len(body)) + body


def read(caller: socket.socket) -> bytes:
    """Everything until the other side ends, however it does."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := caller.recv(2**16):
            data += piece
    return data


def error(answer: bytes) -> tuple[int, str]:
    """Status and code of the one answer that there is."""
    lines, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in lines
    return int(lines.split()[1]), json.loads(body)["error"]["code"]


def test_a_request_in_small_pieces_is_as_good_as_any(bounded: Bounded, peer: ScriptedPeer):
    with bounded() as loop, connected(loop) as caller:
        for _ in range(2):  # on one connection
            whole = request(loop, said="ä" * 40_000)
            for start in range(0, 600, 7):
                caller.sendall(whole[start : start + 7])
            caller.sendall(whole[602:])
            answer = b""
            while not answer.endswith(chat_answer()):
                answer += caller.recv(2**16)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_head_and_body_leave_together(bounded: Bounded, peer: ScriptedPeer):
    with bounded() as loop, connected(loop) as caller:
        caller.sendall(request(loop))
        assert caller.recv(2**16).endswith(chat_answer())


def test_answers_are_whole_when_the_connection_ends_with_them(bounded: Bounded, peer: ScriptedPeer):
    with bounded(max_header_bytes=4096) as loop:
        with connected(loop) as caller:
            caller.sendall(b"GET /healthz HTTP/1.1\r\nhost: loop\r\nconnection: close\r\n\r\n")
            assert json.loads(read(caller).partition(b"\r\n\r\n")[2])
        with connected(loop) as caller:
            caller.sendall(request(loop))
            assert caller.recv(2**16).endswith(chat_answer())
            caller.sendall(head(loop, 0, "x-large: " + "y" * 5000))
            assert error(read(caller)) == (431, "headers_too_large")


def test_the_head_of_a_stream_does_not_wait_for_its_first_event(
    bounded: Bounded, peer: ScriptedPeer
):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(events(), kind=EVENTS, go=go, first=len("data: "))
    with bounded() as loop, connected(loop) as caller:
        caller.sendall(request(loop, stream=True))
        assert caller.recv(2**16).endswith(b"\r\n\r\n")
        go.set()
        assert b"[DONE]" in caller.recv(2**16)


def test_a_head_that_is_too_large_is_refused(bounded: Bounded, peer: ScriptedPeer):
    with bounded(max_header_bytes=4096) as loop:
        with connected(loop) as caller:
            caller.sendall(head(loop, 0, "x-large: " + "y" * 5000))
            assert error(read(caller)) == (431, "headers_too_large")
        with connected(loop) as caller:
            caller.sendall(b"GET /" + b"y" * 5000 + b" HTTP/1.1\r\nhost: loop\r\n\r\n")
            assert error(read(caller)) == (431, "headers_too_large")
        response = loop.chat("x" * 5000, headers={"x-fits": "y" * 3000})
        assert response.status_code == 200
    assert len(peer.received) == 1


def test_a_head_without_end_is_refused_before_it_fills_the_memory(bounded: Bounded):
    with bounded(max_header_bytes=4096) as loop:
        for line in (b"x-more: %d\r\n" % 7, b"y" * 100):
            with connected(loop) as caller:
                caller.sendall(b"GET /healthz HTTP/1.1\r\nx-first: ")
                with contextlib.suppress(ConnectionError):
                    for _ in range(1000):
                        caller.sendall(line)
                assert error(read(caller)) == (431, "headers_too_large")
        assert loop.client.get("/healthz").status_code == 200


def test_a_request_that_does_not_become_whole_is_given_up(bounded: Bounded, peer: ScriptedPeer):
    with bounded(request_timeout_s=1.0) as loop:
        whole = request(loop)
        for part in (whole[:30], whole[:-30]):
            with connected(loop) as caller:
                caller.sendall(part)
                assert error(read(caller)) == (408, "request_timeout")
        with connected(loop) as caller:
            assert read(caller) == b""  # nothing was asked: nothing is answered
        with connected(loop) as caller:
            caller.sendall(whole)
            assert caller.recv(2**16).startswith(b"HTTP/1.1 200 ")
            caller.sendall(whole[:30])  # the next one on the same connection
            assert b" 408 " in read(caller)
    assert len(peer.received) == 1


def test_who_sends_on_after_a_refusal_is_cut_off(bounded: Bounded):
    with bounded(request_timeout_s=1.0, max_body_bytes=1000) as loop, connected(loop) as caller:
        caller.sendall(head(loop, 10**9))
        with contextlib.suppress(ConnectionError):
            while True:
                caller.sendall(b"x" * 1000)
        with contextlib.suppress(ConnectionError):
            assert caller.recv(2**16).startswith(b"HTTP/1.1 413 ")


def test_a_caller_may_wait_for_its_answer_longer_than_it_may_take_to_ask(
    bounded: Bounded, peer: ScriptedPeer
):
    go = threading.Event()
    peer.answer = lambda asked: Scripted(chat_answer(), go=go)
    with bounded(request_timeout_s=0.3, stalled_timeout_s=0.3) as loop:
        threading.Timer(1.0, go.set).start()
        assert loop.chat().status_code == 200


MANY = events(*({"choices": [{"delta": {"content": "x" * 1000}}]} for _ in range(20_000)))
"""A stream of some 20 MB."""


def test_a_caller_that_takes_nothing_is_given_up_and_little_waits_for_it(
    bounded: Bounded, peer: ScriptedPeer
):
    peer.answer = lambda asked: Scripted(MANY, kind=EVENTS)
    with bounded(stalled_timeout_s=1.0) as loop, connected(loop, buffer=4096) as caller:
        caller.sendall(request(loop, stream=True))
        (call,) = eventually(loop.calls)
        assert (call.status, call.complete) == (499, False)
        assert len(call.response) < len(MANY) / 4  # the rest stayed with the engine
        assert len(read(caller)) < len(MANY) / 4


def test_a_slow_caller_gets_everything(bounded: Bounded, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(MANY, kind=EVENTS)
    with bounded(stalled_timeout_s=30.0) as loop, connected(loop, buffer=2**16) as caller:
        caller.sendall(request(loop, stream=True))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += caller.recv(2**15)
        (call,) = eventually(loop.calls)
        assert call.complete
        assert len(call.response) == len(MANY)


def test_a_whole_answer_that_nobody_takes_goes_as_well(bounded: Bounded, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(chat_answer("x" * 20_000_000))
    with bounded(stalled_timeout_s=1.0) as loop, connected(loop, buffer=4096) as caller:
        caller.sendall(request(loop))
        assert caller.recv(1) == b"H"
        assert loop.calls()[0].status == 200  # it was answered, as far as we know
        eventually(lambda: _connections(loop, caller) == 0, timeout_s=60)
        assert len(read(caller)) < 20_000_000


def test_an_engine_that_says_too_much_is_cut_off(bounded: Bounded, peer: ScriptedPeer):
    with bounded(max_answer_bytes=100_000) as loop:
        peer.answer = lambda asked: Scripted(chat_answer("x" * 200_000))
        response = loop.chat()
        assert (response.status_code, response.json()["error"]["code"]) == (502, "engine_failed")
        assert "more than 100000 bytes" in (loop.call(response).error or "")
        peer.answer = lambda asked: Scripted(MANY, kind=EVENTS)
        response, body = loop.stream()
        call = loop.call(response)
        assert b"[DONE]" not in body
        assert not call.complete
        assert len(call.response) <= 100_000
        peer.answer = lambda asked: Scripted(chat_answer("x" * 90_000))
        assert loop.chat().status_code == 200


def test_there_are_only_so_many_connections(bounded: Bounded):
    with bounded(max_connections=2) as loop, contextlib.ExitStack() as others:
        first = others.enter_context(connected(loop))
        others.enter_context(connected(loop))
        first.sendall(b"GET /healthz HTTP/1.1\r\nhost: loop\r\n\r\n")
        assert first.recv(2**16).startswith(b"HTTP/1.1 200 ")
        with httpx.Client(base_url=loop.client.base_url, timeout=30) as third:
            response = third.get("/healthz")
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "too_many_connections"
            assert response.headers["retry-after"] == "1"
        first.sendall(b"GET /healthz HTTP/1.1\r\nhost: loop\r\n\r\n")
        assert first.recv(2**16).startswith(b"HTTP/1.1 200 ")  # who was there stays
        others.close()
        eventually(lambda: loop.client.get("/healthz").status_code == 200)


def test_what_is_no_http_is_told_so_in_the_usual_shape(bounded: Bounded):
    with bounded() as loop:
        for text in (b"hello\r\n\r\n", b"GET /caf\xe9 HTTP/1.1\r\nhost: x\r\n\r\n"):
            with connected(loop) as caller:
                caller.sendall(text)
                assert error(read(caller)) == (400, "bad_http")


def _connections(loop: Loop, caller: socket.socket) -> int:
    """Whether the gateway still has its end of the caller's connection, from the system's table."""
    here = f":{caller.getsockname()[1]:04X}"
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    established = "01"
    return sum(row[2].endswith(here) and row[3] == established for row in rows)
