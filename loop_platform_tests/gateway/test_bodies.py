"""Which texts of a request and an answer a redactor is shown, and what becomes of the rest."""

import json
import re
from typing import Any

import pytest

from loop_platform.personal_data import bodies


def mask(text: str, about: str) -> str:
    return re.sub(r"Ann Lee|5551234\d*", "<X>", text)


def body(**fields: Any) -> dict[str, Any]:
    return json.loads(bodies.body(json.dumps(fields), mask))


def test_what_the_protocol_says_itself_stays():
    asked = {
        "model": "loop",
        "max_tokens": 5551234,
        "top_logprobs": 5,
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        "tool_choice": "auto",
    }
    assert body(**asked) == asked


def test_a_protocols_field_with_something_else_in_it_is_a_text():
    assert body(role="Ann Lee", id="of Ann Lee") == {"role": "<X>", "id": "of <X>"}


def test_texts_are_found_wherever_they_are():
    asked = {
        "messages": [{"role": "user", "name": "Ann Lee", "content": [{"text": "Ann Lee"}]}],
        "metadata": {"id": "Ann Lee", "count": 55512345},
        "unheard_of": [[{"Ann Lee": "Ann Lee"}]],
    }
    assert body(**asked) == {
        "messages": [{"role": "user", "name": "<X>", "content": [{"text": "<X>"}]}],
        "metadata": {"id": "<X>", "count": "<X>"},
        "unheard_of": [[{"<X>": "<X>"}]],
    }


def test_the_texts_in_json_within_a_text_are_replaced_and_it_stays_json():
    call = {"function": {"name": "f", "arguments": '{"who": "Ann Lee", "at": 55512345}'}}
    (clean,) = body(tool_calls=[call])["tool_calls"]
    assert json.loads(clean["function"]["arguments"]) == {"who": "<X>", "at": "<X>"}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"prompt": [[1, 2], [3]]}, {"prompt": []}),
        ({"input": [1, 2, 3]}, {"input": []}),
        ({"url": "data:image/png;base64,AAAA"}, {"url": "<MEDIA>"}),
        ({"data": "QUJD" * 200}, {"data": "<MEDIA>"}),
        ({"embedding": [0.5, 0.25]}, {"embedding": []}),
        ({"encrypted_content": "c2VjcmV0"}, {"encrypted_content": ""}),
    ],
)
def test_what_cannot_be_read_is_not_kept(asked: dict[str, Any], kept: dict[str, Any]):
    assert body(**asked) == kept


def test_an_answer_cut_in_its_json_is_refused_and_not_taken_for_text():
    with pytest.raises(bodies.UnreadableError):
        bodies.answer('{"choices": [{"message": {"content": "Ann L', mask)


def test_of_a_stream_that_was_cut_the_whole_events_stay():
    stream = (
        'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
        'data: {"choices": [{"delta": {"content": "cut'
    )
    assert "hi" in bodies.answer(stream, mask)
    assert "cut" not in bodies.answer(stream, mask)


def test_the_texts_of_two_choices_are_two_texts():
    chunks = [(0, "Ann "), (1, "Ann "), (0, "Lee"), (1, "Boleyn")]
    stream = "\n\n".join(
        "data: " + json.dumps({"choices": [{"index": number, "delta": {"content": text}}]})
        for number, text in chunks
    )
    said: dict[int, str] = {0: "", 1: ""}
    for line in bodies.answer(stream, mask).split("\n\n"):
        (choice,) = json.loads(line.removeprefix("data: "))["choices"]
        said[choice["index"]] += choice["delta"]["content"]
    assert said == {0: "<X>", 1: "Ann Boleyn"}


def test_an_event_stream_of_responses_keeps_its_names():
    stream = (
        "event: response.output_text.delta\n"
        'data: {"type": "response.output_text.delta", "item_id": "m", "delta": "Ann "}\n\n'
        "event: response.output_text.delta\n"
        'data: {"type": "response.output_text.delta", "item_id": "m", "delta": "Lee"}\n\n'
    )
    clean = bodies.answer(stream, mask)
    assert clean.count("event: response.output_text.delta\n") == 2
    deltas = [json.loads(line[6:])["delta"] for line in clean.split("\n") if "data: " in line]
    assert deltas == ["<X>", ""]
