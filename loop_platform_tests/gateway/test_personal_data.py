"""Tenants that ask that personal data is redacted before it is recorded, on the real redactor."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from loop_platform.gateway.journal import Journal, UnredactedError
from loop_platform.gateway.redactors import Redactors, RedactorsMissingError
from loop_platform.observer import measures
from loop_platform.observer.sums import read
from loop_platform.records import Contribution, Feedback, Opened
from loop_platform.settings import RedactionSettings, Settings
from loop_platform_tests.gateway.loop import Loop, eventually, in_the_future
from loop_platform_tests.gateway.scripted_peer import (
    EVENTS,
    Received,
    Scripted,
    ScriptedPeer,
    chat_answer,
    events,
)

SECRETS = ("Jessica Miller", "Jessica", "jessica.miller@example.com", "4111 1111 1111 1111")
SAID = (
    "My name is Jessica Miller, my card is 4111 1111 1111 1111 and you can write to"
    " jessica.miller@example.com."
)
REDACTED = "My name is <PERSON>, my card is <CREDIT_CARD> and you can write to <EMAIL_ADDRESS>."


@pytest.fixture
def settings(settings: Settings) -> Settings:
    redaction = RedactionSettings(tenants=["acme"])
    return settings.model_copy(update={"redaction": redaction})


@pytest.fixture
def loop(scripted: Loop) -> Loop:
    scripted.client.timeout = 60
    return scripted


def written(settings: Settings) -> str:
    """All that is on the disk of what went through the gateway."""
    files = (path for path in settings.data_dir.rglob("*") if path.is_file())
    kept = (path for path in files if "postgres" not in path.parts)
    return "\n".join(path.read_text(errors="replace") for path in kept)


def assert_nothing_personal(settings: Settings) -> None:
    text = written(settings)
    assert [secret for secret in SECRETS if secret in text] == []


def workers(loop: Loop) -> list[psutil.Process]:
    """The redactors of this test."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "loop_platform.personal_data.worker" in child.cmdline()
    ]


def echo(asked: Received) -> Scripted:
    said = json.loads(asked.body)["messages"][-1]["content"]
    return Scripted(chat_answer(said))


def test_what_is_recorded_has_placeholders_and_what_is_said_has_not(loop: Loop, peer: ScriptedPeer):
    peer.answer = echo
    answer = loop.chat(SAID, user="jessica.miller@example.com")
    assert answer.json()["choices"][0]["message"]["content"] == SAID
    assert json.loads(peer.received[0].body)["messages"][0]["content"] == SAID

    call = loop.call(answer)
    request, response = json.loads(bytes(call.request)), json.loads(call.response)
    assert request["messages"][0]["content"] == REDACTED
    assert request["user"] == "<USER>"
    assert response["choices"][0]["message"]["content"] == REDACTED
    assert response["usage"]["total_tokens"] == 4
    assert call.redacted == {"CREDIT_CARD": 2, "EMAIL_ADDRESS": 2, "PERSON": 2}
    assert call.user is not None
    assert call.user.startswith("user-")
    assert_nothing_personal(loop.settings)


def test_a_user_has_the_same_pseudonym_in_every_call(loop: Loop):
    ada = [loop.call(loop.chat("hello", user="ada@example.com")).user for _ in range(2)]
    eve = loop.call(loop.chat("hello", user="eve@example.com")).user
    assert ada[0] == ada[1] != eve


def test_the_pieces_of_a_stream_are_one_text(loop: Loop, peer: ScriptedPeer):
    pieces = [SAID[start : start + 3] for start in range(0, len(SAID), 3)]
    stream = events(
        *(
            {
                "object": "chat.completion.chunk",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": piece},
                        "logprobs": {"content": [{"token": piece, "logprob": -0.5}]},
                    }
                ],
            }
            for piece in pieces
        )
    )
    peer.answer = lambda asked: Scripted(stream, kind=EVENTS)
    response, body = loop.stream("Who am I?", logprobs=True)
    assert body == stream

    call = loop.call(response)
    chunks = [
        json.loads(line[6:]) for line in call.response.split("\n") if line.startswith("data: {")
    ]
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"]["content"] for choice in choices) == REDACTED
    tokens = [choice["logprobs"]["content"][0] for choice in choices]
    assert tokens == [{"token": "", "logprob": -0.5}] * len(pieces)
    assert call.response.endswith("data: [DONE]\n\n")
    assert_nothing_personal(loop.settings)


def test_a_stream_that_begins_is_entered_without_personal_data(loop: Loop, peer: ScriptedPeer):
    go = threading.Event()
    begun = {"choices": [{"index": 0, "delta": {"content": "Well, "}}]}
    stream = events(begun, {"choices": [{"index": 0, "delta": {"content": SAID}}]})
    first = len(events(begun, done=False))
    peer.answer = lambda asked: Scripted(stream, kind=EVENTS, go=go, first=first)
    with loop.client.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "loop", "stream": True, "messages": [{"role": "user", "content": SAID}]},
    ) as response:
        (opened,) = eventually(lambda: loop.lines(Opened))
        assert REDACTED in bytes(opened.call.request).decode()
        assert_nothing_personal(loop.settings)
        go.set()
        response.read()
    loop.call(response)
    assert_nothing_personal(loop.settings)


def test_a_shadows_copy_is_redacted_too(loop: Loop, peer: ScriptedPeer):
    peer.answer = echo
    loop.route(
        champion="r-1",
        champion_url=peer.url,
        shadow="r-2",
        shadow_url=peer.url,
        shadow_share=1.0,
        lease_until=in_the_future(60),
    )
    loop.chat(SAID)
    shadow = eventually(lambda: next((c for c in loop.calls() if c.route == "shadow"), None))
    assert REDACTED in shadow.response
    assert shadow.redacted
    assert_nothing_personal(loop.settings)


def test_feedback_and_contributions_are_redacted(loop: Loop):
    call_id = loop.chat("hello").headers["x-loop-call-id"]
    given = [
        {"call_id": call_id, "kind": "correction", "correction": SAID, "user": "Jessica Miller"},
        {"call_id": call_id, "kind": "report", "report": SAID, "comment": SAID},
    ]
    assert loop.client.post("/v1/feedback", json=given[0]).status_code == 202
    batch = loop.client.post("/v1/feedback/batch", json=[given[1], {"call_id": "none"}]).json()
    assert (batch["accepted"], batch["refused"]) == (1, 1)
    contribution = {"task": "t", "messages": [{"role": "user", "content": SAID}], "answer": SAID}
    assert loop.client.post("/v1/contributions", json=contribution).status_code == 202

    feedback = [record for record in loop.records() if isinstance(record, Feedback)]
    assert [record.correction or record.report for record in feedback] == [REDACTED] * 2
    assert feedback[1].comment == REDACTED
    (contributed,) = [record for record in loop.records() if isinstance(record, Contribution)]
    assert contributed.messages == [{"role": "user", "content": REDACTED}]
    assert contributed.answer == REDACTED
    assert_nothing_personal(loop.settings)


def test_what_an_engine_says_of_its_failure_is_redacted(loop: Loop, peer: ScriptedPeer):
    peer.answer = lambda asked: Scripted(SAID.encode(), status=500, kind="text/plain")
    answer = loop.chat(SAID)
    assert answer.status_code == 500
    call = loop.call(answer)
    assert REDACTED in (call.error or "")
    assert call.response == REDACTED
    assert_nothing_personal(loop.settings)


def test_what_is_kept_for_a_retry_is_what_was_said_and_nobody_else_can_read_it(
    loop: Loop, peer: ScriptedPeer
):
    peer.answer = echo
    headers = {"idempotency-key": "again"}
    first = loop.chat(SAID, headers=headers)
    again = loop.chat(SAID, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert len(peer.received) == 1
    loop.call(first)
    assert list(loop.settings.data_dir.glob("idempotency/*/*")) != []
    assert_nothing_personal(loop.settings)


def test_spans_of_others_are_redacted(loop: Loop):
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": SAID}]}]
        ),
    }
    now = time.time_ns()
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "name": "chat m",
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [
            {"key": name, "value": {"stringValue": value}} for name, value in attributes.items()
        ],
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    assert loop.client.post("/v1/traces", json=body).status_code == 200
    (call,) = loop.calls()
    assert REDACTED in bytes(call.request).decode()
    assert_nothing_personal(loop.settings)


def test_another_tenants_calls_are_recorded_as_they_came(loop: Loop, peer: ScriptedPeer):
    peer.answer = echo
    loop.key(tenant="globex")
    call = loop.call(loop.chat(SAID, user="ada"))
    assert SAID in bytes(call.request).decode()
    assert SAID in call.response
    assert (call.redacted, call.user) == (None, "ada")


def test_a_redactor_that_stands_still_stops_only_its_tenant(loop: Loop, peer: ScriptedPeer):
    peer.answer = echo
    own = loop.client.headers["authorization"]
    other = loop.key(tenant="globex")
    loop.client.headers["authorization"] = own
    (worker,) = workers(loop)
    worker.suspend()
    waiting: list[int] = []
    held = threading.Thread(target=lambda: waiting.append(loop.chat(SAID).status_code))
    held.start()
    try:
        eventually(lambda: len(peer.received) == 1)
        others = {"authorization": f"Bearer {other}"}
        assert [loop.chat(SAID, headers=others).status_code for _ in range(20)] == [200] * 20
        assert waiting == []  # the answer is there, its record is not
    finally:
        worker.resume()
    held.join(30)
    assert waiting == [200]


def test_a_redactor_that_is_killed_is_followed_and_the_call_answered(
    loop: Loop, peer: ScriptedPeer
):
    peer.answer = echo
    (worker,) = workers(loop)
    worker.suspend()
    answers: list[int] = []
    held = threading.Thread(target=lambda: answers.append(loop.chat(SAID).status_code))
    held.start()
    eventually(lambda: len(peer.received) == 1)
    worker.send_signal(signal.SIGKILL)
    held.join(60)
    assert answers == [200]
    assert worker.pid not in [one.pid for one in workers(loop)]
    assert_nothing_personal(loop.settings)


@pytest.fixture
def hasty(settings: Settings, database: sa.Engine, peer: ScriptedPeer) -> Iterator[Loop]:
    """A gateway that waits for its redactor no longer than half a second."""
    redaction = settings.redaction.model_copy(update={"timeout_s": 0.5})
    loop = Loop(settings.model_copy(update={"redaction": redaction}), database)
    loop.key()
    loop.route(champion="r-1", champion_url=peer.url)
    with loop.gateway():
        yield loop


def test_without_a_redactor_the_call_is_refused_and_recorded_without_its_text(
    hasty: Loop, peer: ScriptedPeer
):
    peer.answer = echo
    (worker,) = workers(hasty)
    worker.suspend()
    refused = hasty.chat(SAID)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "redactor_unavailable")
    assert "retry-after" in refused.headers
    call = hasty.call(refused)
    assert (bytes(call.request), call.response, call.redacted) == (b"{}", "", {})
    assert (call.status, call.complete) == (503, False)
    assert_nothing_personal(hasty.settings)

    parts = hasty.parts
    assert parts is not None
    eventually(lambda: parts.redactors.up == 1, timeout_s=60)
    assert hasty.chat("hello").status_code == 200
    parts.tallies.tell()
    with hasty.database.connect() as connection:
        counted = read(connection)[measures.REDACTION.name]
    failed = {json.loads(name)["outcome"]: count for name, count in counted.items()}
    assert failed["failed"] >= 1


def test_the_journal_takes_nothing_unredacted(tmp_path: Path):
    journal = Journal(tmp_path, 60, 2**20, frozenset({"acme"}))
    feedback = Feedback(
        feedback_id="f",
        call_id="c",
        tenant="acme",
        contributor="ada",
        kind="report",
        received_at=0.0,
        report=SAID,
    )
    with pytest.raises(UnredactedError, match="acme"):
        journal.append(feedback)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == []


def test_a_gateway_without_the_redactors_environment_says_so(settings: Settings):
    missing = settings.redaction.model_copy(update={"python": Path("nowhere/bin/python")})
    redactors = Redactors(missing, b"0" * 32)
    with pytest.raises(RedactorsMissingError, match=r"acme.*nowhere.*make \.venv-redact"):
        asyncio.run(redactors.start())


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="SHOE_SIZE"):
        RedactionSettings(kinds=("PERSON", "SHOE_SIZE"))
