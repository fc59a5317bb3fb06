"""Bad input: each gets an error of OpenAI's shape, and none of it reaches the engine."""

import json
import socket

from loop_platform.keys import revoke
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually

MESSAGES = [{"role": "user", "content": "hello"}]


def refusal(response):
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return response.status_code, error["code"]


NO_REQUESTS = [
    b"{",
    b'{"model": "loop", "messages": [',
    b"[1, 2]",
    b"",
    b"\xff\xfe",
    b'{"model": "loop", "messages": "\xff"}',
    b'{"model": "loop", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"model": 7, "messages": []}',
    b'{"messages": []}',
    b'{"model": "loop", "stream": "yes", "messages": []}',
    b'{"model": "loop", "user": "a\\u0000b", "messages": []}',
    b'{"model": "loop", "metadata": {"task": ["a"]}, "messages": []}',
]

WRONG_KEYS = [None, "", "Bearer", "Bearer sk-1", "Basic abc", "Bearer loop_abc_def", "Bearer \xe9"]


def test_what_is_no_request_is_refused(loop: Loop, champion: EnginePeer):
    for body in NO_REQUESTS:
        response = loop.client.post("/v1/chat/completions", content=body)
        assert refusal(response)[0] == 400, body
    assert champion.bodies == []


def test_a_wrong_key_is_refused(loop: Loop, champion: EnginePeer):
    del loop.client.headers["authorization"]
    for text in WRONG_KEYS:
        headers = {} if text is None else {"authorization": text.encode("latin-1")}
        assert refusal(loop.chat(headers=headers)) == (401, "invalid_api_key"), text
    assert champion.bodies == []


def test_a_role_too_low_is_refused(loop: Loop):
    loop.key("caller")
    response = loop.chat()
    assert response.status_code == 200
    body = {"call_id": response.headers["x-loop-call-id"], "kind": "rating", "rating": 5}
    assert refusal(loop.client.post("/v1/feedback", json=body)) == (403, "insufficient_role")


def test_a_revoked_key_is_refused_while_the_gateway_runs(loop: Loop):
    text = loop.key("caller")
    assert loop.chat().status_code == 200
    with loop.database.begin() as connection:
        assert revoke(connection, text.split("_")[1])
    eventually(lambda: loop.chat().status_code == 401)


def test_an_unknown_model_is_refused(loop: Loop, champion: EnginePeer):
    response = loop.chat(model="gpt-4o")
    assert refusal(response) == (404, "model_not_found")
    assert response.json()["error"]["param"] == "model"
    assert champion.bodies == []


def test_unknown_paths_and_methods_are_refused_in_the_same_shape(loop: Loop):
    assert refusal(loop.client.get("/v1/images/generations"))[0] == 404
    assert refusal(loop.client.get("/v1/chat/completions"))[0] == 405


def test_a_host_that_is_none_and_a_slash_too_many_are_no_defects(loop: Loop):
    for host in ("[", "a b", "evil.example"):
        response = loop.client.get("/v1/nothing", headers={"host": host})
        assert refusal(response)[0] == 404, host
    response = loop.client.get("/v1/models/", headers={"host": "evil.example"})
    assert refusal(response)[0] == 404
    assert "location" not in response.headers


def test_a_body_too_large_is_refused_while_it_is_sent(loop: Loop, champion: EnginePeer):
    text = json.dumps({"model": "loop", "messages": MESSAGES, "x": "y" * 10_000_000}).encode()
    assert refusal(loop.client.post("/v1/chat/completions", content=text))[0] == 413

    def pieces():
        for start in range(0, len(text), 65536):
            yield text[start : start + 65536]

    assert refusal(loop.client.post("/v1/chat/completions", content=pieces()))[0] == 413
    assert champion.bodies == []
    assert loop.chat().status_code == 200


def test_without_a_champion_there_is_nothing_to_answer_with(loop: Loop):
    loop.route()
    response = loop.chat()
    assert refusal(response) == (503, "no_champion")
    assert int(response.headers["retry-after"]) > 0
    assert loop.client.get("/readyz").status_code == 503


def test_an_engine_that_is_away_is_said_to_be(loop: Loop):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        loop.route(champion="r-1", champion_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        response = loop.chat()
    assert refusal(response) == (503, "engine_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert loop.call(response).status == 503


def test_an_engine_whose_address_is_none_is_as_good_as_away(loop: Loop):
    loop.route(champion="r-1", champion_url="engine:8000")
    response = loop.chat()
    assert refusal(response) == (503, "engine_unavailable")
    assert "http or https" in (loop.call(response).error or "")


def test_an_engine_that_serves_other_weights_is_as_good_as_away(loop: Loop, champion: EnginePeer):
    champion.model = "bare-model"  # it came back, and the champion is not on it yet
    response = loop.chat()
    assert refusal(response) == (503, "engine_unavailable")
    assert "retry-after" in response.headers
    champion.model = "r-1"
    assert loop.chat().status_code == 200


def test_models_are_listed_as_openai_lists_them(loop: Loop):
    listed = loop.client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["loop", "home", "r-1"]
    assert loop.client.get("/v1/models/r-1").json()["object"] == "model"
    assert refusal(loop.client.get("/v1/models/r-2")) == (404, "model_not_found")
    assert loop.chat(model="r-1").status_code == 200
    assert loop.chat(model="home").status_code == 200


def test_health_needs_no_key(loop: Loop):
    del loop.client.headers["authorization"]
    assert loop.client.get("/healthz").json()["status"] == "ok"
    assert loop.client.get("/readyz").json() == {"ready": True, "keys": True, "champion": "r-1"}
