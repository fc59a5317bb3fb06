"""What OpenAI's official clients make of refusals, time-outs and engines that fail."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from loop_platform.settings import Settings
from loop_platform_tests.gateway.clients import LANGUAGES, Client, client
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.scripted_peer import (
    EVENTS,
    Received,
    Scripted,
    ScriptedPeer,
    chat_answer,
    events,
)

CHAT = {"model": "loop", "messages": [{"role": "user", "content": "hello"}]}
CREATE = "chat.completions.create"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    gateway = settings.gateway.model_copy(update={"upstream_timeout_s": 15.0})
    return settings.model_copy(update={"gateway": gateway})


@pytest.fixture(params=LANGUAGES)
def openai(request: pytest.FixtureRequest, scripted: Loop) -> Iterator[Client]:
    with client(request.param, str(scripted.client.base_url).rstrip("/"), scripted.key()) as one:
        yield one


def _error(outcome: dict[str, Any]) -> dict[str, Any]:
    assert "error" in outcome, outcome
    return dict(outcome["error"])


def test_refusals_are_the_clients_own_errors(openai: Client, scripted: Loop, peer: ScriptedPeer):
    unknown = _error(openai.ask(CREATE, CHAT | {"model": "gpt-9"}))
    assert (unknown["kind"], unknown["status"]) == ("NotFoundError", 404)
    assert (unknown["code"], unknown["param"]) == ("model_not_found", "model")
    assert unknown["type"] == "invalid_request_error"
    assert "'gpt-9'" in unknown["message"]

    message = {"error": {"message": "max_tokens is too large", "code": 400, "param": "max_tokens"}}
    peer.answer = lambda asked: Scripted(str(message).replace("'", '"').encode(), status=400)
    bad = _error(openai.ask(CREATE, CHAT))
    assert (bad["kind"], bad["param"]) == ("BadRequestError", "max_tokens")
    assert "too large" in bad["message"]
    assert bad["request_id"] == scripted.calls()[0].call_id

    peer.answer = lambda asked: Scripted(b'{"error": {"message": "out of memory"}}', status=500)
    broken = _error(openai.ask(CREATE, CHAT))
    assert (broken["kind"], broken["code"]) == ("InternalServerError", "engine_failed")

    key = {"idempotency-key": "k"}
    peer.answer = lambda asked: Scripted(chat_answer())
    openai.ask(CREATE, CHAT, headers=key)
    reused = _error(openai.ask(CREATE, CHAT | {"seed": 1}, headers=key))
    assert (reused["kind"], reused["code"]) == (
        "UnprocessableEntityError",
        "idempotency_key_reused",
    )


def test_a_key_that_is_not_in_use_is_an_authentication_error(scripted: Loop, openai: Client):
    headers = {"authorization": "Bearer loop_0_0"}
    error = _error(openai.ask(CREATE, CHAT, headers=headers))
    assert (error["kind"], error["code"]) == ("AuthenticationError", "invalid_api_key")


def test_a_client_tries_again_while_the_engine_is_away(
    openai: Client, scripted: Loop, peer: ScriptedPeer
):
    answers = iter([Scripted(b"", status=503), Scripted(b"", status=500), Scripted(chat_answer())])
    peer.answer = lambda asked: next(answers)
    outcome = openai.ask(CREATE, CHAT, max_retries=2)
    assert outcome["answer"]["choices"][0]["message"]["content"] == "hello"
    assert [call.status for call in scripted.calls()] == [503, 500, 200]


def test_a_client_that_timed_out_finds_its_answer_under_its_key(
    openai: Client, scripted: Loop, peer: ScriptedPeer
):
    go = threading.Event()

    def slow(asked: Received) -> Scripted:
        threading.Timer(4.0, go.set).start()  # the client gives up after two
        return Scripted(chat_answer(), go=go)

    peer.answer = slow
    key = {"idempotency-key": "k-1"}
    outcome = openai.ask(CREATE, CHAT, headers=key, timeout_s=2.0, max_retries=20)
    assert outcome["headers"]["idempotent-replayed"] == "true"
    assert outcome["headers"]["x-loop-call-id"] == scripted.calls()[0].call_id
    assert len(peer.received) == 1


def test_a_client_that_timed_out_without_a_key_says_so(openai: Client, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(chat_answer(), go=threading.Event())
    error = _error(openai.ask(CREATE, CHAT, timeout_s=1.0))
    assert error["kind"] in ("APITimeoutError", "APIConnectionTimeoutError")


def test_an_engine_that_takes_too_long_is_given_up(
    openai: Client, scripted: Loop, peer: ScriptedPeer
):
    peer.answer = lambda asked: Scripted(chat_answer(), go=threading.Event())
    error = _error(openai.ask(CREATE, CHAT))
    assert (error["kind"], error["status"]) == ("InternalServerError", 504)
    assert "in time" in error["message"]
    assert (scripted.calls()[0].status, scripted.calls()[0].complete) == (504, False)


def test_a_stream_that_breaks_off_is_an_error_after_what_came(
    openai: Client, scripted: Loop, peer: ScriptedPeer
):
    cut = events({"choices": [{"index": 0, "delta": {"content": "one "}}]}, done=False)
    peer.answer = lambda asked: Scripted(cut, kind=EVENTS, cut=True)
    error = _error(openai.ask(CREATE, CHAT | {"stream": True}))
    assert error["kind"] == "APIError"
    assert "broke off" in error["message"]


def test_unknown_fields_reach_the_engine_and_the_client(
    openai: Client, scripted: Loop, peer: ScriptedPeer
):
    unknown = {"x_grammar": {"root": ["a", 1.5]}}
    outcome = openai.ask(CREATE, CHAT | unknown, unknown=("x_grammar",))
    assert b'"x_grammar":{"root":["a",1.5]}' in peer.received[0].body.replace(b" ", b"")
    assert outcome["answer"]["x_unknown"] == {"kept": [1.5, None]}
