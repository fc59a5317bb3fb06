"""OpenAI's official clients against a real vLLM behind the gateway.

What a client makes of an answer through the gateway has to be what it makes of the engine's own.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from loop_platform.defs.telemetry.rows import call_rows
from loop_platform.settings import Settings
from loop_platform_tests.engine.programs import tiny_model
from loop_platform_tests.engine.server import vllm
from loop_platform_tests.gateway.clients import LANGUAGES, Client, client
from loop_platform_tests.gateway.loop import Loop

pytestmark = pytest.mark.timeout(3000)

CHAT = "chat.completions.create"
# The untrained model would rather say nothing than letters: its four special tokens are barred.
LETTERS = {"logit_bias": {str(token): -100 for token in range(4)}}
SHORT = {"max_tokens": 6, "temperature": 0} | LETTERS
HELLO = {"messages": [{"role": "user", "content": "hello"}]} | SHORT

TOOL = {
    "type": "function",
    "function": {
        "name": "on",
        "parameters": {
            "type": "object",
            "properties": {"room": {"enum": ["hall", "attic"]}},
            "required": ["room"],
            "additionalProperties": False,
        },
    },
}
ROOM = {"name": "room", "schema": {"enum": ["hall", "attic"]}}
WITH_TOOL = HELLO | {
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "on"}},
    "max_tokens": 40,
}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
IN_ROOM = {"format": {"type": "json_schema"} | ROOM}
RESPOND = {"input": "hello", "max_output_tokens": 24, "temperature": 0, "text": IN_ROOM}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, HELLO),
    "a conversation": (
        CHAT,
        HELLO
        | {
            "messages": [
                {"role": "system", "content": "Say mu."},
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {"role": "assistant", "content": "mu"},
                {"role": "user", "content": "b"},
            ]
        },
    ),
    "stream": (CHAT, HELLO | {"stream": True}),
    "stream with usage": (CHAT, HELLO | USAGE),
    "several choices": (CHAT, HELLO | {"n": 3, "temperature": 1.0, "seed": 7}),
    "several choices in a stream": (CHAT, HELLO | USAGE | {"n": 2, "temperature": 1.0, "seed": 7}),
    "stop": (CHAT, HELLO | {"max_tokens": 60, "temperature": 1.0, "seed": 3, "stop": ["a", "e"]}),
    "seed": (CHAT, HELLO | {"temperature": 1.0, "seed": 11}),
    "penalties": (CHAT, HELLO | {"frequency_penalty": 0.5, "logit_bias": {"70": 5}, "top_p": 0.9}),
    "log-probabilities": (CHAT, HELLO | {"logprobs": True, "top_logprobs": 2}),
    "log-probabilities in a stream": (CHAT, HELLO | USAGE | {"logprobs": True}),
    "a JSON schema": (
        CHAT,
        HELLO
        | {
            "response_format": {"type": "json_schema", "json_schema": ROOM},
            "max_tokens": 16,
        },
    ),
    "a tool": (CHAT, WITH_TOOL),
    "a tool in a stream": (CHAT, WITH_TOOL | USAGE),
    "the engine's own fields": (CHAT, HELLO | {"min_tokens": 3, "top_k": 2}),
    "completion": ("completions.create", {"prompt": "mu"} | SHORT),
    "completion with everything": (
        "completions.create",
        LETTERS
        | {"prompt": ["a", "b"], "max_tokens": 4, "temperature": 1.0, "seed": 5, "n": 2}
        | {"logprobs": 2, "echo": True, "stop": "z"},
    ),
    "completion in a stream": (
        "completions.create",
        {"prompt": "mu"} | SHORT | USAGE,
    ),
    "response": ("responses.create", RESPOND),
    "response with messages": (
        "responses.create",
        RESPOND
        | {
            "instructions": "Say mu.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        },
    ),
    "response that reaches its limit": ("responses.create", RESPOND | {"max_output_tokens": 2}),
    "response in a stream": ("responses.create", RESPOND | {"stream": True}),
}

# Fields that the engine has and the Python client knows nothing of.
UNKNOWN = ("min_tokens", "top_k")

# Not the same twice, whoever asks: names, times, and in how many pieces a text came.
_ITS_OWN = frozenset({"id", "created", "created_at", "completed_at", "item_id", "sequence_number"})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("engine")
    with vllm(tiny_model(folder / "tiny"), "r-1", folder) as url:
        yield url


@pytest.fixture
def loop(settings: Settings, database: sa.Engine, engine: str) -> Iterator[Loop]:
    """A gateway whose champion the engine serves."""
    loop = Loop(settings, database)
    loop.key()
    loop.route(champion="r-1", champion_url=engine)
    with loop.gateway():
        yield loop


@pytest.fixture(params=LANGUAGES)
def clients(
    request: pytest.FixtureRequest, loop: Loop, engine: str
) -> Iterator[tuple[Client, Client]]:
    """One at the gateway, and one at the engine itself."""
    gateway = str(loop.client.base_url).rstrip("/")
    with (
        client(request.param, gateway, loop.key()) as ours,
        client(request.param, engine, "none") as direct,
    ):
        yield ours, direct


def test_a_client_sees_what_the_engine_answers(clients: tuple[Client, Client], loop: Loop):
    ours, direct = clients
    wrong = {}
    for name, (method, body) in REQUESTS.items():
        unknown = tuple(field for field in UNKNOWN if field in body)
        got = ours.ask(method, {"model": "loop"} | body, unknown=unknown)
        meant = direct.ask(method, {"model": "r-1"} | body, unknown=unknown)
        assert "error" not in meant, (name, meant)
        assert "error" not in got, (name, got)
        if different := dict(_differences(_essence(got), _essence(meant))):
            wrong[name] = different
        _check_row(name, got, loop)
    assert wrong == {}


def test_the_engines_refusals_reach_the_client(clients: tuple[Client, Client], loop: Loop):
    ours, direct = clients
    for more in (
        {"temperature": -1.0},
        {"max_tokens": 100_000},
        {"messages": []},
        {"response_format": {"type": "json_schema"}},
        {"stream": True, "temperature": -1.0},
    ):
        got = ours.ask(CHAT, {"model": "loop"} | HELLO | more)
        meant = direct.ask(CHAT, {"model": "r-1"} | HELLO | more)
        assert got["error"].pop("request_id") in {call.call_id for call in loop.calls()}
        meant["error"].pop("request_id")
        assert got == meant, more
        assert got["error"]["kind"] == "BadRequestError"
    error = ours.ask("embeddings.create", {"model": "loop", "input": "hello"})["error"]
    assert (error["kind"], error["status"]) == ("NotFoundError", 404)
    lost = {"model": "loop", "input": "hello", "previous_response_id": "resp_0"}
    error = ours.ask("responses.create", lost)["error"]
    assert (error["kind"], error["status"]) == ("NotFoundError", 404)
    assert "resp_0" in error["message"]


def test_a_client_finds_the_models_and_its_answer_again(clients: tuple[Client, Client]):
    ours, _ = clients
    assert [model["id"] for model in ours.ask("models.list", {})["answer"]["data"]][:1] == ["loop"]
    body = {"model": "loop"} | HELLO | {"temperature": 1.0}
    for stream in ({}, USAGE):
        key = {"idempotency-key": f"once-{bool(stream)}"}
        first = ours.ask(CHAT, body | stream, headers=key)
        again = ours.ask(CHAT, body | stream, headers=key)
        assert again["headers"]["idempotent-replayed"] == "true"
        for part in ("answer", "events"):
            assert first.get(part) == again.get(part)


def _essence(outcome: dict[str, Any]) -> Any:
    """What has to be the same: all of an answer; of a stream, what it adds up to."""
    if "answer" in outcome:
        return _without_its_own(outcome["answer"])
    return _sum(outcome["events"])


def _sum(events: list[dict[str, Any]]) -> dict[str, Any]:
    if events[0].get("type"):  # of /v1/responses
        text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
        kinds = list(dict.fromkeys(event["type"] for event in events))
        return {"text": text, "kinds": kinds, "last": _without_its_own(events[-1])}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"]:
            whole = choices.setdefault(choice["index"], {"text": "", "tool": "", "logprobs": []})
            delta = choice.get("delta") or choice
            whole["text"] += delta.get("content") or delta.get("text") or ""
            for call in delta.get("tool_calls") or []:
                whole["tool"] += call["function"].get("name") or ""
                whole["tool"] += call["function"].get("arguments") or ""
            logprobs = choice.get("logprobs") or {}
            whole["logprobs"] += logprobs.get("content") or []
            whole["end"] = choice.get("finish_reason") or whole.get("end")
    usage = [event["usage"] for event in events if event.get("usage")]
    return {"choices": choices, "usage": usage, "last": bool(events[-1]["choices"])}


def _differences(got: Any, meant: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Where two outcomes differ, and how."""
    if isinstance(got, dict) and isinstance(meant, dict):
        for key in got.keys() | meant.keys():
            yield from _differences(got.get(key), meant.get(key), f"{at}.{key}")
    elif got != meant:
        yield at, (got, meant)


def _without_its_own(given: Any) -> Any:
    if isinstance(given, dict):
        return {k: _without_its_own(v) for k, v in given.items() if k not in _ITS_OWN}
    return [_without_its_own(one) for one in given] if isinstance(given, list) else given


def _check_row(name: str, outcome: dict[str, Any], loop: Loop) -> None:
    """The journal has the call, and telemetry reads in it what the client saw."""
    call_id = outcome["headers"]["x-loop-call-id"]
    (call,) = [call for call in loop.calls() if call.call_id == call_id]
    (row,) = call_rows([call], "segment").to_dicts()
    assert (row["status"], row["complete"], row["release"]) == (200, True, "r-1"), name
    assert row["finish_reason"] is not None, name
    assert row["prompt_tokens"] > 0, name
    assert row["completion_tokens"] > 0, name
    if call.endpoint != "/v1/responses":
        assert row["mean_logprob"] is not None, name
    assert json.loads(row["messages"]), name
    assert row["answer"] == _answer(outcome), name


def _answer(outcome: dict[str, Any]) -> str:
    if "events" in outcome:
        added = _sum(outcome["events"])
        if "kinds" in added:
            return str(added["text"])
        first = added["choices"][0]
        return _called(first["tool"]) if first["tool"] else str(first["text"])
    answer = outcome["answer"]
    if "output" in answer:
        return str(answer["output"][-1]["content"][0]["text"])
    choice = answer["choices"][0]
    if "text" in choice:
        return str(choice["text"])
    message = choice["message"]
    calls = message.get("tool_calls")
    called = calls[0]["function"] if calls else {"name": "", "arguments": ""}
    return str(message["content"]) if not calls else _called(called["name"] + called["arguments"])


def _called(tool: str) -> str:
    """As the row has a call of the one tool, `on`."""
    call = {"name": tool[:2], "arguments": tool[2:]}
    return json.dumps([call], separators=(",", ":"))
