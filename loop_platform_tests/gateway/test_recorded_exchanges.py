"""Exchanges with OpenAI that somebody recorded, once more through the gateway.

From the tests of opentelemetry-instrumentation-openai-v2 (Apache-2.0).
"""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from loop_platform.defs.telemetry.rows import call_rows
from loop_platform.defs.telemetry.segment import read_segment
from loop_platform.settings import GatewaySettings, Settings
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.scripted_peer import Received, Scripted, ScriptedPeer
from loop_platform_tests.packages import exchanges
from loop_platform_tests.segments import lines

Exchange = dict[str, Any]


def _model(exchange: Exchange) -> str:
    return str(json.loads(exchange["request"]["body"])["model"])


def _recorded(exchange: Exchange) -> bytes:
    return str(exchange["response"]["body"]["string"]).encode()


def _path(exchange: Exchange) -> str:
    return httpx.URL(exchange["request"]["uri"]).path


class Replayed:
    """The exchanges, sent again, with what came back and what the engine got."""

    def __init__(self, loop: Loop, peer: ScriptedPeer) -> None:
        self.names: list[str] = []
        self.exchanges: list[Exchange] = []
        self.answers: list[httpx.Response] = []
        self.received: list[Received] = []
        found = sorted(exchanges(), key=lambda one: _model(one[1]))
        for model, same in groupby(found, key=lambda one: _model(one[1])):
            # The engine serves the release under the very name that callers ask for.
            release = f"r-{model}"
            loop.route(champion=release, champion_url=peer.url, champion_model=model)
            for name, exchange in same:
                self._send(loop, peer, name, exchange)
        self.calls = {call.call_id: call for call in loop.calls()}

    def _send(self, loop: Loop, peer: ScriptedPeer, name: str, exchange: Exchange) -> None:
        response = exchange["response"]
        (kind,) = response["headers"]["Content-Type"]
        status = response["status"]["code"]
        scripted = Scripted(_recorded(exchange), status=status, kind=kind, piece=61)
        peer.answer = lambda asked: scripted
        body = exchange["request"]["body"].encode()
        headers = {"content-type": "application/json"}
        with loop.client.stream("POST", _path(exchange), content=body, headers=headers) as answer:
            answer.read()
        self.names.append(name)
        self.exchanges.append(exchange)
        self.answers.append(answer)
        self.received.append(peer.received[-1])

    def __iter__(self) -> Iterator[tuple[str, Exchange, httpx.Response, Received]]:
        return iter(zip(self.names, self.exchanges, self.answers, self.received, strict=True))


@pytest.fixture(params=[False, True], ids=["plain", "capturing"])
def replayed(
    request: pytest.FixtureRequest, settings: Settings, database: sa.Engine, peer: ScriptedPeer
) -> Replayed:
    """With and without asking the engine for more than callers do."""
    gateway = GatewaySettings(
        segment_max_age_s=60, capture_logprobs=request.param, tasks_by_model={"*": "recorded"}
    )
    loop = Loop(settings.model_copy(update={"gateway": gateway}), database)
    loop.key()
    with loop.gateway():
        return Replayed(loop, peer)


def test_every_exchange_passes_both_ways_and_becomes_a_row(
    replayed: Replayed, request: pytest.FixtureRequest
):
    assert len(replayed.names) == 54
    capturing = "capturing" in request.node.name
    for name, exchange, answer, received in replayed:
        sent = exchange["request"]["body"].encode()
        if capturing and _path(exchange) == "/v1/chat/completions":
            _check_only_added(name, json.loads(sent), json.loads(received.body))
        else:
            assert received.body == sent, name
        assert received.path == _path(exchange), name
        assert "authorization" not in received.headers, name  # the caller's key is the gateway's
        _check_answer(name, exchange, answer)
        _check_row(name, exchange, replayed.calls[answer.headers["x-loop-call-id"]])


def _check_only_added(name: str, sent: dict[str, Any], got: dict[str, Any]) -> None:
    added = {key: got[key] for key in got if key not in sent}
    assert added.pop("logprobs", True) is True, name
    options = got.pop("stream_options", None)
    if options is not None:
        assert options == (sent.pop("stream_options", None) or {}) | {"include_usage": True}, name
        added.pop("stream_options", None)
    assert added == {}, name
    assert {key: got[key] for key in sent} == sent, name


def _check_answer(name: str, exchange: Exchange, answer: httpx.Response) -> None:
    status = exchange["response"]["status"]["code"]
    if status == 404:  # the engine does not serve what the routes say: the caller can only wait
        assert answer.status_code == 503, name
        assert answer.json()["error"]["code"] == "engine_unavailable", name
        assert "retry-after" in answer.headers, name
        return
    assert answer.status_code == status, name
    assert answer.content == _recorded(exchange), name
    (kind,) = exchange["response"]["headers"]["Content-Type"]
    assert answer.headers["content-type"] == kind, name


def _check_row(name: str, exchange: Exchange, call: Any) -> None:
    content = read_segment(lines([call]))
    assert content.aside == [], name
    ((_, calls),) = content.calls.items()
    (row,) = call_rows(calls, "segment").to_dicts()
    asked = json.loads(exchange["request"]["body"])
    assert json.loads(row["request"]) == asked, name
    assert row["response"] == _recorded(exchange).decode(), name
    assert (row["task"], row["endpoint"]) == ("recorded", _path(exchange)), name
    assert json.loads(row["messages"]) == asked.get("messages", []), name
    if exchange["response"]["status"]["code"] == 404:
        assert (row["status"], row["complete"], row["answer"]) == (503, False, None), name
        return
    assert (row["status"], row["complete"]) == (200, True), name
    assert row["streamed"] == bool(asked.get("stream")), name
    expected = _expected(_recorded(exchange).decode())
    assert {key: row[key] for key in expected} == expected, name


def _expected(response: str) -> dict[str, Any]:
    """What the row has to say, read the long way."""
    if response.startswith("data:"):
        chunks = [json.loads(line[6:]) for line in response.splitlines() if line[6:7] == "{"]
    else:
        chunks = [json.loads(response)]
    usage: dict[str, Any] = {}
    text, ended, tools = "", None, {}
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", []):
            said = choice.get("message") or choice.get("delta")
            if choice["index"] != 0:
                continue
            ended = choice["finish_reason"] or ended
            text += said.get("content") or ""
            for place, call in enumerate(said.get("tool_calls") or []):
                tool = tools.setdefault(call.get("index", place), {"name": "", "arguments": ""})
                for part in tool:
                    tool[part] += call["function"].get(part) or ""
    answer = text or (json.dumps(list(tools.values()), separators=(",", ":")) if tools else None)
    return {
        "answer": answer,
        "finish_reason": ended,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
    }
