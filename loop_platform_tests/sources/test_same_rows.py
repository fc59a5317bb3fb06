"""One conversation, told in every form that is taken in: the same rows come out."""

import json
import time
from typing import Any

import polars as pl
import pytest

from loop_platform.defs.telemetry.rows import call_rows
from loop_platform.identity import CallIdentity
from loop_platform.records import Source
from loop_platform.settings import Settings
from loop_platform.sources import genai_spans, litellm_lines, openai_lines
from loop_platform.sources.intake import Intake, Recorded
from loop_platform.sources.otlp import Span

AT = 1_790_000_000.0

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
CALLED = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}
REQUEST: dict[str, Any] = {"model": "m", "messages": ASKED, "temperature": 0.5}

ANSWERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "a text": (
        {"role": "assistant", "content": "Rainy, 57°F"},
        [{"type": "text", "content": "Rainy, 57°F"}],
        "stop",
    ),
    "a tool": (
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}}],
        "tool_calls",
    ),
}


def told(
    message: dict[str, Any], parts: list[dict[str, Any]], reason: str
) -> dict[Source, Recorded]:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    line = {
        "request": REQUEST,
        "response": {"choices": [choice], "usage": usage},
        "started_at": AT,
        "latency_ms": 1500,
        "task": "home",
        "user": "u1",
        "session": "s1",
    }
    payload = {
        "id": "1",
        "trace_id": "s1",
        "call_type": "acompletion",
        "status": "success",
        "startTime": AT,
        "endTime": AT + 1.5,
        "model": "m",
        "model_group": "m",
        "messages": ASKED,
        "model_parameters": {"temperature": 0.5},
        "response": {"choices": [choice]},
        **usage,
        "end_user": "u1",
        "metadata": {"requester_metadata": {"task": "home"}},
    }
    said = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": "Weather?"}]}]
        ),
        "gen_ai.output.messages": json.dumps(said),
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.conversation.id": "s1",
        "user.id": "u1",
        "loop.task": "home",
    }
    span = genai_spans.recorded(Span("1", "1", AT, AT + 1.5, attributes, (), {}, False, ""))
    assert span is not None
    return {
        "openai": openai_lines.recorded(json.dumps(line).encode()),
        "litellm": litellm_lines.recorded(json.dumps(payload).encode()),
        "otlp": span,
    }


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_same_rows_come_out(answer: str, settings: Settings):
    identity = CallIdentity(b"a secret of this test")
    calls = [
        Intake(identity, settings, source, "acme").call(recorded)
        for source, recorded in told(*ANSWERS[answer]).items()
    ]
    assert all(call.started_at < time.time() for call in calls)
    rows = call_rows(calls, "segment")
    assert set(rows["source"]) == {"openai", "litellm", "otlp"}
    by_nature = ("call_id", "source", "request", "response", "key_id")
    same = rows.drop(name for name in by_nature if name in rows.columns)
    same = same.with_columns(
        pl.col("latency_ms").round(3),
        *(pl.col(name).map_elements(_plain, pl.String) for name in ("messages", "answer")),
    )
    first, *others = same.to_dicts()
    assert others == [first, first]
    assert first["answer"]
    assert (first["task"], first["prompt_tokens"], first["finish_reason"]) == (
        "home",
        9,
        ANSWERS[answer][2],
    )
    assert {json.loads(request)["temperature"] for request in rows["request"]} == {0.5}


def _plain(text: str) -> str:
    """JSON, and the JSON within its texts, without what spaces are in it."""

    def read(value: Any) -> Any:
        if isinstance(value, str) and value[:1] in ("{", "["):
            return read(json.loads(value))
        if isinstance(value, dict):
            return {name: read(one) for name, one in value.items()}
        return [read(one) for one in value] if isinstance(value, list) else value

    return json.dumps(read(text), sort_keys=True)
