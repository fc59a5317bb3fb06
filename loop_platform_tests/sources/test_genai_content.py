"""What was said, in each of the forms that instrumentations tell it in."""

import json
from typing import Any

from loop_platform.sources.genai_content import choices, prompt
from loop_platform.sources.otlp import Event, Span


def span(*events: Event, **attributes: Any) -> Span:
    """Names with two underscores for a dot."""
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return Span("1", "1", 1.0, 2.0, named, events, {}, False, "")


WEATHER_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}

SAID = [
    {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "I should look."},
            {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}},
        ],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
]

HEARD = [
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [WEATHER_CALL],
        "reasoning_content": "I should look.",
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rainy"},
]


def test_messages_as_json_and_as_a_structure() -> None:
    assert prompt(span(gen_ai__input__messages=json.dumps(SAID))) == HEARD
    assert prompt(span(gen_ai__input__messages=SAID)) == HEARD


def test_messages_in_the_event_of_their_own() -> None:
    details = Event(
        "gen_ai.client.inference.operation.details",
        {
            "gen_ai.input.messages": SAID,
            "gen_ai.output.messages": [
                {"role": "assistant", "parts": SAID[1]["parts"], "finish_reason": "tool_call"}
            ],
        },
    )
    assert prompt(span(details)) == HEARD
    (choice,) = choices(span(details))
    assert choice["message"] == HEARD[1]
    assert choice["finish_reason"] == "tool_calls"


def test_several_parts_and_pictures_stay_parts() -> None:
    parts = [
        {"type": "text", "content": "What is this?"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "hologram", "content": "…"},
    ]
    (message,) = prompt(span(gen_ai__input__messages=[{"role": "user", "parts": parts}]))
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "hologram", "content": "…"},
    ]


def test_messages_in_openais_own_form_pass() -> None:
    said = [{"role": "user", "content": "Hi"}]
    assert prompt(span(gen_ai__input__messages=json.dumps(said))) == said


def test_the_events_of_earlier_conventions() -> None:
    made = span(
        Event("gen_ai.system.message", {"content": "Be brief."}),
        Event("gen_ai.user.message", {"content": "Weather in Paris?"}),
        Event("gen_ai.assistant.message", {"tool_calls": json.dumps([WEATHER_CALL])}),
        Event("gen_ai.tool.message", {"id": "c1", "content": "rainy"}),
        Event("exception", {"exception.type": "ValueError"}),
        Event(
            "gen_ai.choice",
            {"index": 0, "finish_reason": "stop", "message": '{"content": "Rainy."}'},
        ),
    )
    assert prompt(made) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [WEATHER_CALL]},
        {"role": "tool", "content": "rainy", "tool_call_id": "c1"},
    ]
    assert choices(made) == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Rainy."},
            "finish_reason": "stop",
        }
    ]


def test_the_numbered_attributes_of_openllmetry() -> None:
    made = span(
        gen_ai__prompt__1__role="user",
        gen_ai__prompt__1__content="Weather in Paris?",
        gen_ai__prompt__0__role="system",
        gen_ai__prompt__0__content="Be brief.",
        gen_ai__completion__0__role="assistant",
        gen_ai__completion__0__finish_reason="tool_calls",
        gen_ai__completion__0__tool_calls__0__id="c1",
        gen_ai__completion__0__tool_calls__0__name="weather",
        gen_ai__completion__0__tool_calls__0__arguments='{"city": "Paris"}',
    )
    assert prompt(made) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris?"},
    ]
    (choice,) = choices(made)
    assert choice["message"]["tool_calls"] == [WEATHER_CALL]
    assert choice["finish_reason"] == "tool_calls"


def test_a_span_without_content_says_nothing() -> None:
    assert prompt(span(gen_ai__operation__name="chat")) == []
    assert choices(span(gen_ai__operation__name="chat")) == []
