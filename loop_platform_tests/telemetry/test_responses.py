"""Calls of /v1/responses and /v1/embeddings as rows."""

import json
from typing import Any

import msgspec
import pytest

from loop_platform.defs.telemetry.rows import call_rows
from loop_platform_tests.segments import a_call

USER = [{"role": "user", "content": "Where?"}]


def row(request: dict[str, Any], response: str, endpoint: str = "/v1/responses") -> dict[str, Any]:
    call = a_call(
        endpoint=endpoint,
        request=msgspec.Raw(json.dumps(request).encode()),
        response=response,
    )
    (found,) = call_rows([call], "s").to_dicts()
    return found | {"messages": json.loads(found["messages"])}


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "response", "status": "completed", "output": list(output)} | more


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": said} | more]}


TOOL = {"type": "function_call", "name": "on", "arguments": "{}", "call_id": "c1"}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("answered", "answer", "reason"),
    [
        (response(THOUGHT, text("Par"), text("is")), "Paris", "stop"),
        (response(TOOL), '[{"name":"on","arguments":"{}"}]', "tool_calls"),
        (response(text("Done"), TOOL), "Done", "tool_calls"),
        (response(text("Par"), status="incomplete"), "Par", "length"),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            None,
            "content_filter",
        ),
        (response(status="failed", error={"message": "no"}), None, None),
        ({"error": {"message": "no"}}, None, None),
    ],
)
def test_an_answer_is_read(answered: dict[str, Any], answer: str | None, reason: str | None):
    found = row({"input": "Where?"}, json.dumps(answered))
    assert (found["answer"], found["finish_reason"]) == (answer, reason)
    assert found["messages"] == USER


def test_log_probabilities_are_read_where_there_are_any():
    said = text("a b", logprobs=[{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -3}])
    found = row({"input": "Where?"}, json.dumps(response(said)))
    assert (found["mean_logprob"], found["min_logprob"]) == (-2.0, -3.0)


def test_a_stream_is_read_from_its_last_event_and_a_cut_one_from_its_pieces():
    pieces = [{"type": "response.output_text.delta", "delta": part} for part in ("Par", "is")]
    last = {"type": "response.completed", "response": response(text("Paris!"))}
    events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in (*pieces, last)]
    whole = row({"input": "Where?"}, "".join(events))
    assert (whole["answer"], whole["finish_reason"]) == ("Paris!", "stop")
    cut = row({"input": "Where?"}, "".join(events)[:-9])
    assert (cut["answer"], cut["finish_reason"]) == ("Paris", None)


def test_the_conversation_is_in_the_words_of_chat():
    asked = {
        "instructions": "Be short.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Light?"}]},
            {"type": "reasoning", "summary": []},
            TOOL,
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "And this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
                ],
            },
        ],
    }
    assert row(asked, "{}")["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Light?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "on", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
    ]


@pytest.mark.parametrize("given", [None, 3, [3], [{"type": "message"}], {"role": "user"}])
def test_what_is_no_conversation_is_none(given: object):
    assert row({"input": given}, "[]")["messages"] == []


def test_an_embedding_is_a_row_without_conversation_and_answer():
    answered = {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1}}
    found = row({"input": "Where?"}, json.dumps(answered), "/v1/embeddings")
    assert (found["messages"], found["answer"], found["finish_reason"]) == ([], None, None)
    assert found["mean_logprob"] is None
