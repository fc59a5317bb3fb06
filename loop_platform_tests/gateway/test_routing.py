"""Champion, canary on a lease, shadow in the background."""

import gc
import socket
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loop_platform.database import route_counters
from loop_platform.gateway import mirror
from loop_platform.gateway.exchange import Exchange
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually, in_the_future
from loop_platform_tests.gateway.serving import serving


@pytest.fixture
def candidate() -> Iterator[EnginePeer]:
    """An engine that serves r-2."""
    peer = EnginePeer("r-2")
    with serving(peer) as peer.url:
        yield peer


def trial(loop: Loop, kind: str, url: str, share: float, lease_s: float = 60.0) -> None:
    champion = loop.parts.routes.current.champion
    loop.route(
        champion="r-1",
        champion_url=champion.url,
        lease_until=in_the_future(lease_s),
        **{kind: "r-2", f"{kind}_url": url, f"{kind}_share": share},
    )


def releases(loop: Loop, users: range) -> dict[int, str]:
    return {user: loop.chat(user=f"u{user}").headers["x-loop-release"] for user in users}


def test_a_canary_gets_its_share_of_users_and_keeps_them(loop: Loop, candidate: EnginePeer):
    trial(loop, "canary", candidate.url, 0.3)
    first = releases(loop, range(100))
    assert 15 <= list(first.values()).count("r-2") <= 45
    assert releases(loop, range(100)) == first
    call = next(call for call in loop.calls() if call.release == "r-2")
    assert call.route == "canary"


def test_a_canary_ends_with_its_lease(loop: Loop, candidate: EnginePeer):
    trial(loop, "canary", candidate.url, 1.0, lease_s=3.0)
    assert loop.chat().headers["x-loop-release"] == "r-2"
    time.sleep(3.0)  # nobody renews it
    assert loop.chat().headers["x-loop-release"] == "r-1"
    assert loop.chat(model="r-2").status_code == 404


def test_the_champion_answers_where_the_canary_cannot_and_the_failure_counts(
    loop: Loop, candidate: EnginePeer
):
    trial(loop, "canary", candidate.url, 1.0)
    response = loop.chat("fail")
    assert response.status_code == 500  # the champion fails on this one too
    candidate.model = "not-yet-loaded"
    response = loop.chat()
    assert (response.status_code, response.headers["x-loop-release"]) == (200, "r-1")
    assert loop.call(response).route == "champion"

    def errors():
        with loop.database.connect() as connection:
            return connection.scalar(
                sa.select(sa.func.sum(route_counters.c.errors)).where(
                    route_counters.c.release == "r-2", route_counters.c.route == "canary"
                )
            )

    assert eventually(errors) == 2


def test_a_caller_can_ask_for_one_serving_release(loop: Loop, candidate: EnginePeer):
    trial(loop, "canary", candidate.url, 0.000001)
    assert loop.chat(model="r-2").headers["x-loop-release"] == "r-2"
    trial(loop, "canary", candidate.url, 1.0)
    assert loop.chat(model="r-1").headers["x-loop-release"] == "r-1"


def test_a_promotion_reaches_every_caller_within_a_second(loop: Loop, candidate: EnginePeer):
    assert loop.chat().headers["x-loop-release"] == "r-1"
    loop.route(champion="r-2", champion_url=candidate.url)
    assert loop.chat().headers["x-loop-release"] == "r-2"


def test_a_shadow_answers_the_same_request_under_one_pair_id(loop: Loop, candidate: EnginePeer):
    trial(loop, "shadow", candidate.url, 1.0)
    response = loop.chat("compare", user="eve", headers={"x-loop-task": "t"})
    assert response.headers["x-loop-release"] == "r-1"
    call_id = response.headers["x-loop-call-id"]
    shadow = eventually(lambda: next((c for c in loop.calls() if c.pair_id == call_id), None))
    assert (shadow.route, shadow.release, shadow.task, shadow.user) == ("shadow", "r-2", "t", "eve")
    assert shadow.call_id != call_id
    assert shadow.complete
    assert "echo compare" in shadow.response
    assert bytes(shadow.request) == bytes(loop.call(response).request)
    response, _ = loop.stream("streamed")
    call_id = response.headers["x-loop-call-id"]
    shadow = eventually(lambda: next((c for c in loop.calls() if c.pair_id == call_id), None))
    assert (shadow.streamed, shadow.complete, shadow.completion_tokens) == (True, True, 2)


def test_only_whole_answers_of_the_champion_are_mirrored(loop: Loop, candidate: EnginePeer):
    trial(loop, "shadow", candidate.url, 1.0)
    loop.chat("mistake")
    loop.stream("cut")
    loop.chat("fine")
    eventually(lambda: [call for call in loop.calls() if call.route == "shadow"])
    assert [asked["messages"][-1]["content"] for asked in candidate.received] == ["fine"]


def test_a_shadow_ends_with_its_lease(loop: Loop, candidate: EnginePeer):
    trial(loop, "shadow", candidate.url, 1.0, lease_s=0.0)
    loop.chat()
    time.sleep(0.3)
    assert candidate.bodies == []


def test_nobody_notices_a_dead_shadow(loop: Loop):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        trial(loop, "shadow", f"http://127.0.0.1:{unused.getsockname()[1]}", 1.0)
        began = time.monotonic()
        assert all(loop.chat().status_code == 200 for _ in range(20))
        assert time.monotonic() - began < 10
        eventually(lambda: loop.client.get("/healthz").json()["mirror"]["failed"] == 20)
    shadows = [call for call in loop.calls() if call.route == "shadow"]
    assert len(shadows) == 20
    assert not any(call.complete for call in shadows)


def test_nobody_notices_a_shadow_that_hangs(loop: Loop):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        trial(loop, "shadow", f"http://127.0.0.1:{silent.getsockname()[1]}", 1.0)
        assert all(loop.chat().status_code == 200 for _ in range(600))
        counts = loop.client.get("/healthz").json()["mirror"]
        assert counts["waiting"] + counts["dropped"] > 580
        assert counts["dropped"] > 0


def test_a_shadow_that_hangs_holds_little_memory(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    """Of large requests few wait, and their answers not at all."""
    monkeypatch.setattr(mirror, "_WAITING_BYTES", 1_000_000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        trial(loop, "shadow", f"http://127.0.0.1:{silent.getsockname()[1]}", 1.0)
        assert all(loop.chat("x" * 90_000).status_code == 200 for _ in range(40))
        counts = loop.client.get("/healthz").json()["mirror"]
        assert counts["waiting"] <= 11
        assert counts["waiting"] + counts["dropped"] >= 32  # eight are being asked
        answered = [one for one in gc.get_objects() if isinstance(one, Exchange) and one.received]
        assert len(answered) < 5


def test_calls_are_counted_for_the_guardrails(loop: Loop):
    for said in ("hello", "fail", "mistake", "hello"):
        loop.chat(said)

    def counted():
        with loop.database.connect() as connection:
            rows = connection.execute(sa.select(route_counters)).all()
        return rows if sum(row.calls for row in rows) == 4 else None

    rows = eventually(counted)
    assert {(row.release, row.route) for row in rows} == {("r-1", "champion")}
    assert sum(row.errors for row in rows) == 1
    assert sum(row.latency_ms for row in rows) > 0
    assert sum(row.over_budget for row in rows) == 0
