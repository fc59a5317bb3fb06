"""`/v1/responses` and `/v1/embeddings`: passed on to the byte, and written down."""

import json
from typing import Any

import httpx
import pytest

from loop_platform_tests.gateway.loop import Loop, in_the_future
from loop_platform_tests.gateway.scripted_peer import (
    EVENTS,
    Received,
    Scripted,
    ScriptedPeer,
    events,
)

RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "Paris"}], "x_new": 1.50}
    ],
    "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
}

BODY = json.dumps(RESPONSE, indent=2).encode()

STREAM = events(
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": 'says "error" and response.completed'},
    {"type": "response.completed", "response": RESPONSE},
    named=True,
    done=False,
)

ASKED = b'{"model": "r-1",\n "input": "caf\\u00e9?", "temperature": 0.70, "x_unknown": {"b": [ ]}}'


def post(loop: Loop, path: str, body: bytes | dict[str, Any]) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return loop.client.post(path, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize("path", [RESPONSES, EMBEDDINGS])
def test_a_request_and_its_answer_pass_to_the_byte(scripted: Loop, peer: ScriptedPeer, path: str):
    peer.answer = lambda asked: Scripted(BODY, piece=11)
    response = post(scripted, path, ASKED)
    assert (response.status_code, response.content) == (200, BODY)
    assert (peer.received[0].path, peer.received[0].body) == (path, ASKED)
    call = scripted.call(response)
    assert (call.endpoint, call.response) == (path, BODY.decode())
    assert json.loads(bytes(call.request)) == json.loads(ASKED)
    assert (call.prompt_tokens, call.completion_tokens) == (5, 2)


def test_the_alias_becomes_the_release_and_nothing_is_asked_for_beside(
    scripted: Loop, peer: ScriptedPeer
):
    post(scripted, RESPONSES, {"model": "loop", "input": "hello", "stream": False})
    post(scripted, EMBEDDINGS, {"model": "loop", "input": ["a", "b"]})
    assert [json.loads(asked.body) for asked in peer.received] == [
        {"model": "r-1", "input": "hello", "stream": False},
        {"model": "r-1", "input": ["a", "b"]},
    ]


def test_embeddings_count_their_tokens(scripted: Loop, peer: ScriptedPeer):
    vector = [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}]
    body = {"object": "list", "data": vector, "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    peer.answer = lambda asked: Scripted(json.dumps(body).encode())
    call = scripted.call(post(scripted, EMBEDDINGS, {"model": "loop", "input": "hello"}))
    assert (call.prompt_tokens, call.completion_tokens, call.complete) == (8, None, True)


@pytest.mark.parametrize("piece", [1, 7, 2**16])
def test_a_streamed_response_passes_to_the_byte(scripted: Loop, peer: ScriptedPeer, piece: int):
    peer.answer = lambda asked: Scripted(STREAM, kind=EVENTS, piece=piece)
    response = post(scripted, RESPONSES, {"model": "loop", "input": "hello", "stream": True})
    assert response.content == STREAM
    call = scripted.call(response)
    assert (call.streamed, call.complete, call.error) == (True, True, None)
    assert (call.prompt_tokens, call.completion_tokens) == (5, 2)
    assert call.response == STREAM.decode()


def test_a_response_that_reached_its_limit_is_whole(scripted: Loop, peer: ScriptedPeer):
    ended = RESPONSE | {"status": "incomplete"}
    stream = events({"type": "response.incomplete", "response": ended}, named=True, done=False)
    peer.answer = lambda asked: Scripted(stream, kind=EVENTS)
    response = post(scripted, RESPONSES, {"model": "loop", "input": "hello", "stream": True})
    assert scripted.call(response).complete


@pytest.mark.parametrize(
    "last",
    [
        {"type": "response.failed", "response": RESPONSE | {"status": "failed"}},
        {"type": "error", "message": "out of memory", "code": "server_error"},
    ],
)
def test_a_response_that_fails_in_its_stream_is_recorded_so(
    scripted: Loop, peer: ScriptedPeer, last: dict[str, Any]
):
    stream = events(last, named=True, done=False)
    peer.answer = lambda asked: Scripted(stream, kind=EVENTS)
    response = post(scripted, RESPONSES, {"model": "loop", "input": "hello", "stream": True})
    assert response.content.startswith(stream)
    call = scripted.call(response)
    assert not call.complete
    assert "the engine failed" in (call.error or "")


def test_a_streamed_response_that_breaks_off_ends_with_an_error(scripted: Loop, peer: ScriptedPeer):
    cut = STREAM[: STREAM.index(b"event: response.completed")]
    peer.answer = lambda asked: Scripted(cut, kind=EVENTS, cut=True)
    response = post(scripted, RESPONSES, {"model": "loop", "input": "hello", "stream": True})
    assert response.content.startswith(cut)
    last = response.content.removeprefix(cut).removeprefix(b"data: ")
    assert json.loads(last)["error"]["code"] == "cut"
    call = scripted.call(response)
    assert (call.complete, call.status) == (False, 200)
    assert "delta" in call.response


def test_what_an_engine_does_not_have_is_the_callers_to_know(scripted: Loop, peer: ScriptedPeer):
    gone = {"error": {"message": "Response with id 'resp_0' not found.", "code": 404}}
    peer.answer = lambda asked: Scripted(json.dumps(gone).encode(), status=404)
    response = post(scripted, RESPONSES, {"model": "loop", "input": "and?"})
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "Response with id 'resp_0' not found."
    for status, body in ((404, b'{"detail": "Not Found"}'), (501, b"")):
        peer.answer = lambda asked, s=status, b=body: Scripted(b, status=s)
        response = post(scripted, EMBEDDINGS, {"model": "loop", "input": "hello"})
        assert response.status_code == 404
        assert response.json()["error"]["message"] == "the engine has no /v1/embeddings"
    assert [call.status for call in scripted.calls()] == [404, 404, 404]


def test_an_engine_without_the_release_is_as_good_as_away(scripted: Loop, peer: ScriptedPeer):
    unknown = b'{"error": {"message": "The model `r-1` does not exist."}}'
    peer.answer = lambda asked: Scripted(unknown, status=404)
    for path in (RESPONSES, EMBEDDINGS):
        assert post(scripted, path, {"model": "loop", "input": "hello"}).status_code == 503


def _trials(loop: Loop, peer: ScriptedPeer) -> None:
    loop.route(
        champion="r-1",
        champion_url=peer.url,
        canary="r-2",
        canary_url=peer.url,
        canary_share=1.0,
        lease_until=in_the_future(60),
    )


def _release(asked: Received) -> str:
    return str(json.loads(asked.body)["model"])


def test_vectors_are_always_the_champions(scripted: Loop, peer: ScriptedPeer):
    _trials(scripted, peer)
    post(scripted, EMBEDDINGS, {"model": "loop", "input": "hello"})
    assert _release(peer.received[-1]) == "r-1"


@pytest.mark.parametrize(
    ("more", "release"),
    [
        ({}, "r-2"),
        ({"store": True}, "r-2"),
        ({"previous_response_id": None, "background": False}, "r-2"),
        ({"previous_response_id": "resp_1"}, "r-1"),
        ({"conversation": "conv_1"}, "r-1"),
        ({"background": True}, "r-1"),
    ],
)
def test_a_response_on_trial_is_one_that_no_engine_keeps(
    scripted: Loop, peer: ScriptedPeer, more: dict[str, Any], release: str
):
    _trials(scripted, peer)
    post(scripted, RESPONSES, {"model": "loop", "input": "hello"} | more)
    assert _release(peer.received[-1]) == release


def test_a_shadow_gets_responses_and_no_embeddings(scripted: Loop, peer: ScriptedPeer):
    scripted.route(
        champion="r-1",
        champion_url=peer.url,
        shadow="r-3",
        shadow_url=peer.url,
        shadow_share=1.0,
        lease_until=in_the_future(60),
    )
    peer.answer = lambda asked: (
        Scripted(STREAM, kind=EVENTS) if b"stream" in asked.body else Scripted(BODY)
    )
    post(scripted, EMBEDDINGS, {"model": "loop", "input": "hello"})
    answered = post(scripted, RESPONSES, {"model": "loop", "input": "hi", "stream": True})
    first = scripted.call(answered)
    shadow = _shadow_of(scripted, first.call_id)
    assert (shadow.endpoint, shadow.complete, shadow.completion_tokens) == (RESPONSES, True, 2)
    releases = [(asked.path, _release(asked)) for asked in peer.received]
    assert releases == [(EMBEDDINGS, "r-1"), (RESPONSES, "r-1"), (RESPONSES, "r-3")]


def _shadow_of(loop: Loop, call_id: str) -> Any:
    from loop_platform_tests.gateway.loop import eventually

    return eventually(
        lambda: next((call for call in loop.calls() if call.pair_id == call_id), None)
    )
