"""What callers get, byte for byte, and what is written down of it."""

import json
import threading

import httpx

from loop_platform.identity import milliseconds_of
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually


def test_an_answer_names_its_call_and_its_release(loop: Loop):
    response = loop.chat()
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "echo hello"
    assert response.headers["x-loop-release"] == "r-1"
    assert milliseconds_of(response.headers["x-loop-call-id"]) > 0


def test_a_call_is_in_the_journal_when_its_answer_is_there(loop: Loop):
    response = loop.chat(
        user="eve", metadata={"session": "s-1"}, headers={"x-loop-task": "greetings"}
    )
    (call,) = loop.calls()  # at once: nothing is waited for
    assert call.call_id == response.headers["x-loop-call-id"]
    assert (call.tenant, call.user, call.session) == ("acme", "eve", "s-1")
    assert (call.task, call.release, call.route) == ("greetings", "r-1", "champion")
    assert (call.status, call.complete, call.streamed) == (200, True, False)
    assert (call.prompt_tokens, call.completion_tokens) == (7, 2)
    assert json.loads(bytes(call.request))["model"] == "loop"


def test_what_the_gateway_does_not_know_is_passed_on_as_it_came(loop: Loop, champion: EnginePeer):
    text = (
        '{"model": "loop",\n "messages": [{"role":"user", "content": "caf\\u00e9"}],'
        ' "temperature": 0.70, "seed": 12345678901234567890, "guided_json": {"b": 1, "a": [ ]}}'
    )
    assert loop.client.post("/v1/chat/completions", content=text).status_code == 200
    (body,) = champion.bodies
    for part in (b'"temperature":0.70', b"12345678901234567890", b'{"b": 1, "a": [ ]}', b"\\u00e9"):
        assert part in body
    assert champion.received[0]["model"] == "r-1"


def test_logprobs_that_nobody_asked_for_stay_in_the_journal(loop: Loop, champion: EnginePeer):
    response = loop.chat()
    assert champion.received[0]["logprobs"] is True
    assert response.json()["choices"][0]["logprobs"] is None
    assert (
        "logprob"
        in json.loads(loop.call(response).response)["choices"][0]["logprobs"]["content"][0]
    )


def test_logprobs_that_a_caller_asked_for_reach_it(loop: Loop):
    response = loop.chat(logprobs=True)
    assert response.json()["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.25


def test_a_stream_arrives_as_the_engine_sent_it_but_for_what_was_added(loop: Loop):
    response, body = loop.stream("one two")
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == [
        "echo ",
        "one ",
        "two ",
    ]
    assert all(chunk["choices"][0]["logprobs"] is None for chunk in chunks)
    call = loop.call(response)
    assert (call.streamed, call.complete, call.completion_tokens) == (True, True, 2)
    assert "-0.25" in call.response
    assert call.first_byte_ms is not None


def test_a_stream_whose_caller_asked_for_everything_is_untouched(loop: Loop):
    response, body = loop.stream(logprobs=True, stream_options={"include_usage": True})
    assert body.decode() == loop.call(response).response


def test_a_completion_is_served_as_a_chat_is(loop: Loop, champion: EnginePeer):
    response = loop.client.post("/v1/completions", json={"model": "home", "prompt": "on"})
    assert response.json()["choices"][0]["text"] == "echo on"
    assert champion.received[0]["logprobs"] == 1
    assert (loop.calls()[0].endpoint, loop.calls()[0].task) == ("/v1/completions", "home-commands")


def test_a_stream_that_the_engine_cuts_ends_with_an_error_and_a_record(loop: Loop):
    response, body = loop.stream("cut")
    events = body.decode().strip().split("\n\n")
    assert "echo" in events[0]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "cut"
    call = loop.call(response)
    assert (call.status, call.complete) == (200, False)
    assert call.error is not None
    assert "echo" in call.response


def test_a_caller_that_hangs_up_in_a_stream_is_on_record(loop: Loop, champion: EnginePeer):
    body = {"model": "loop", "messages": [{"role": "user", "content": "slow"}], "stream": True}
    with loop.client.stream("POST", "/v1/chat/completions", json=body) as response:
        next(response.iter_raw())
    call = loop.call(response)
    assert (call.status, call.complete) == (499, False)
    assert "echo" in call.response
    assert eventually(lambda: champion.hung_up) == 1  # the engine need not go on either


def test_a_caller_that_hangs_up_before_an_answer_is_on_record(loop: Loop, champion: EnginePeer):
    def impatient() -> None:
        body = {"model": "loop", "messages": [{"role": "user", "content": "slow"}]}
        try:
            loop.client.post("/v1/chat/completions", json=body, timeout=0.5)
        except httpx.ReadTimeout:
            return

    caller = threading.Thread(target=impatient)
    caller.start()
    caller.join()
    call = eventually(lambda: next(iter(loop.calls()), None))
    assert (call.status, call.complete, call.response) == (499, False, "")
    assert eventually(lambda: champion.hung_up) == 1


def test_the_engine_says_what_is_wrong_with_a_request(loop: Loop):
    response = loop.chat("mistake")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "temperature has to be positive"
    assert loop.call(response).status == 400


def test_an_engine_that_fails_is_an_error_of_openais_shape(loop: Loop):
    response = loop.chat("fail")
    assert response.status_code == 500
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    call = loop.call(response)
    assert "out of memory" in call.response
    assert not call.complete


def test_many_callers_at_once_get_each_their_own_answer(loop: Loop):
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answer = loop.chat(f"n{number}")
        answers[number] = answer.json()["choices"][0]["message"]["content"]

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == {number: f"echo n{number}" for number in range(40)}
    assert len(loop.calls()) == 40
