import json

import pytest

from loop_platform.defs.telemetry.answer import read_answer
from loop_platform.defs.telemetry.rows import messages_of


def _stream(*chunks: dict[str, object]) -> str:
    return "".join(f"data: {json.dumps({'choices': [c]})}\n\n" for c in chunks) + "data: [DONE]\n\n"


def _piece(text: str, logprob: float, **fields: object) -> dict[str, object]:
    logprobs = {"content": [{"token": text, "logprob": logprob}]}
    return {"index": 0, "delta": {"content": text}, "logprobs": logprobs} | fields


def test_a_streamed_chat_answer_is_put_together() -> None:
    start = {"index": 0, "delta": {"role": "assistant", "content": ""}}
    answer = read_answer(
        _stream(start, _piece("Hel", -0.5), _piece("lo", -1.5, finish_reason="stop"))
    )
    assert (answer.text, answer.finish_reason) == ("Hello", "stop")
    assert (answer.mean_logprob, answer.min_logprob) == (-1.0, -1.5)


def test_a_stream_that_was_cut_keeps_what_came() -> None:
    whole = _stream(_piece("Hel", -0.5), _piece("lo", -1.5))
    answer = read_answer(whole[: whole.rindex("lo")])
    assert (answer.text, answer.finish_reason) == ("Hel", None)


def test_a_completion_has_its_text_and_its_numbers() -> None:
    choice = {"index": 0, "text": "4", "logprobs": {"token_logprobs": [None, -0.25]}}
    answer = read_answer(json.dumps({"choices": [choice]}))
    assert (answer.text, answer.mean_logprob) == ("4", -0.25)
    assert read_answer(_stream(choice, choice)).text == "44"


def test_only_the_first_choice_counts() -> None:
    choices = [{"index": at, "message": {"content": str(at)}} for at in (1, 0)]
    assert read_answer(json.dumps({"choices": choices})).text == "0"


def test_tool_calls_are_the_answer_where_there_is_no_text() -> None:
    pieces = [
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "on"}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}},
    ]
    answer = read_answer(_stream(*pieces))
    assert json.loads(answer.text or "") == [{"name": "on", "arguments": "{}"}]


@pytest.mark.parametrize(
    "response",
    [
        "",
        "<html>Bad gateway</html>",
        '{"error": {"message": "no"}}',
        '{"choices": 3}',
        "[]",
        '{"choices": [{"message": null}]}',
        '{"choices": [{"logprobs": {"content": null}, "message": {"content": null}}]}',
        "data: 7\n\n",
    ],
)
def test_what_is_no_answer_gives_nothing(response: str) -> None:
    answer = read_answer(response)
    assert (answer.text, answer.mean_logprob) == (None, None)


@pytest.mark.parametrize(
    ("request_body", "messages"),
    [
        ('{"messages": [{"role": "user", "content": "Hi"}]}', '[{"role":"user","content":"Hi"}]'),
        ('{"prompt": "Hi"}', '[{"role":"user","content":"Hi"}]'),
        ('{"prompt": ["a", "b"]}', '[{"role":"user","content":"[\\"a\\",\\"b\\"]"}]'),
        ("{}", "[]"),
        ("3", "[]"),
        (r'{"prompt": "\ud800"}', "[]"),
    ],
)
def test_the_conversation_is_taken_from_the_request(request_body: str, messages: str) -> None:
    assert messages_of(request_body, "/v1/chat/completions") == messages
