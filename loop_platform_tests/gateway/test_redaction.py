"""Only what the gateway added goes; everything else keeps its bytes."""

from loop_platform.gateway.redaction import Redaction

EVERYTHING = Redaction(logprobs=True, usage=True)
LOGPROBS = b'{"content":[{"token":"a","logprob":-1}]}'


def test_logprobs_become_null_and_nothing_else_changes():
    body = b'{"id":"x","seed":12345678901234567890,"choices":[{"a":1.50,"logprobs":%s}]}' % LOGPROBS
    assert EVERYTHING.whole(body) == body.replace(LOGPROBS, b"null")
    event = b"data: " + body + b"\n\n"
    assert EVERYTHING.event(event) == event.replace(LOGPROBS, b"null")


def test_every_choice_is_looked_at():
    body = b'{"choices":[{"index":0,"logprobs":%s},{"index":1,"logprobs":%s}]}' % (
        LOGPROBS,
        LOGPROBS,
    )
    assert b"token" not in EVERYTHING.whole(body)


def test_an_answer_without_any_is_the_same_bytes():
    for body in (b'{ "choices": [ ] }', b"<html>", b"", b'{"error": {"message": "no"}}'):
        assert EVERYTHING.whole(body) == body


def test_what_is_no_answer_passes():
    for body in (
        b'{"logprobs": ',
        b'["logprobs"]',
        b'{"logprobs": 1}',
        b'{"choices":{"logprobs":1}}',
    ):
        assert EVERYTHING.whole(body) == body
        assert EVERYTHING.event(b"data: " + body + b"\n\n") == b"data: " + body + b"\n\n"


def test_the_event_of_token_counts_alone_goes():
    assert EVERYTHING.event(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n') == b""


def test_token_counts_beside_an_answer_go_and_the_answer_stays():
    event = b'data: {"choices":[{"index":0}],"usage":null}\n\n'
    assert EVERYTHING.event(event) == b'data: {"choices":[{"index":0}]}\n\n'


def test_what_the_caller_asked_for_stays():
    event = b'data: {"choices":[{"logprobs":%s}],"usage":{"prompt_tokens":1}}\n\n' % LOGPROBS
    assert Redaction(logprobs=False, usage=False).event(event) == event
