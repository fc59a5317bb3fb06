"""Log-probabilities go, and every other byte stays as it was."""

import json

from loop_platform.gateway.cutting import events_without_logprobs, without_logprobs

TOKEN = {
    "token": '}]}"\\ {"logprobs":',
    "logprob": -0.5,
    "bytes": [125, 93],
    "top_logprobs": [{"token": "{{", "logprob": -1, "bytes": None}] * 2,
}
CHAT = {"content": [TOKEN] * 3, "refusal": None}
COMPLETION = {
    "tokens": ["{"],
    "token_logprobs": [-1.0],
    "top_logprobs": [{"}": -1}],
    "text_offset": [],
}


def answer(*logprobs: object, said: str = 'a "logprobs": {"b"') -> str:
    choices = [{"text": said, "logprobs": each, "x": [{"y": 1}]} for each in logprobs]
    return json.dumps({"id": "1", "choices": choices, "usage": None})


def test_each_choices_log_probabilities_are_cut_out_of_an_answer():
    for logprobs in ((CHAT,), (CHAT, None), (COMPLETION, CHAT, COMPLETION)):
        expected = answer(*[None] * len(logprobs))
        assert without_logprobs(answer(*logprobs).encode()) == expected.encode()


def test_an_answer_that_leaves_a_doubt_is_not_cut():
    two_keys = json.dumps({"choices": [{"logprobs": CHAT}], "echo": {"logprobs": CHAT}})
    assert without_logprobs(two_keys.encode()) is None
    spaced = answer(CHAT).replace('"logprobs": ', '"logprobs" :  ')
    assert without_logprobs(spaced.encode()) is None


def test_many_events_are_cut_at_once():
    events = [f"data: {answer(each)}\n\n" for each in (CHAT, COMPLETION, None, CHAT)]
    expected = f"data: {answer(None)}\n\n" * 4
    assert events_without_logprobs("".join(events).encode()) == expected.encode()


def test_events_of_an_unknown_shape_are_not_cut():
    deep = {"content": [{"top_logprobs": [{"more": {"deeper": {}}}]}]}
    events = f"data: {answer(CHAT)}\n\ndata: {answer(deep)}\n\n"
    assert events_without_logprobs(events.encode()) is None
