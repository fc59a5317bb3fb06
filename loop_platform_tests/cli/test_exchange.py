"""What goes out of the loop, and what comes in."""

import json
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from loop_platform.database import decisions, moves, review_items, segment_hours, segments
from loop_platform.engine.card import card
from loop_platform.identity import CallIdentity, hour_of, identity_secret
from loop_platform.records import Call
from loop_platform.release import registry
from loop_platform.settings import settings as loop_settings
from loop_platform_tests.cli.conftest import Loop
from loop_platform_tests.cli.test_commands import item
from loop_platform_tests.engine.test_card import EVIDENCE, RECORD

YESTERDAY = time.time() - 86_400


def recorded(content: str = "lights on", **more: object) -> dict[str, object]:
    return {
        "request": {"model": "m", "messages": [{"role": "user", "content": content}]},
        "response": {
            "created": int(YESTERDAY),
            "choices": [{"message": {"role": "assistant", "content": "done"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        },
        **more,
    }


def write(file: Path, *lines: object) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def shipped(database: sa.Engine, folder: Path) -> list[Call]:
    with database.connect() as connection:
        paths = connection.scalars(sa.select(segments.c.path).order_by(segments.c.path)).all()
    texts = [(folder / "loop" / "lake" / path).read_text() for path in paths]
    return [msgspec.json.decode(line, type=Call) for text in texts for line in text.splitlines()]


def test_recorded_calls_become_calls_of_their_hour(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    lines = [recorded(task="home", user="u1"), recorded("lights off", session="s")]
    file = write(tmp_path / "calls.jsonl", *lines)
    imported = loop("import", file, "--task", "chat")
    assert imported.exit_code == 0, imported.output
    first, second = shipped(database, tmp_path)
    assert (first.task, first.user, first.release) == ("home", "u1", "imported")
    assert (second.task, second.session) == ("chat", "s")
    assert (first.prompt_tokens, first.completion_tokens) == (3, 1)
    assert json.loads(bytes(first.request)) == lines[0]["request"]
    with database.connect() as connection:
        hours = set(connection.scalars(sa.select(segment_hours.c.hour)))
    assert hours == {hour_of(first.call_id)}
    assert abs(first.started_at - YESTERDAY) <= 1


def test_a_tenants_calls_are_redacted_before_they_are_journalled(
    loop: Loop, database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOP_REDACTION__TENANTS", '["acme"]')
    file = write(tmp_path / "calls.jsonl", recorded("Call Jessica Miller", user="jessica"))
    missing = loop("import", file, "--tenant", "acme")
    assert missing.exit_code == 1
    assert "make .venv-redact" in missing.output

    python = Path(__file__).parents[2] / ".venv-redact" / "bin" / "python"
    monkeypatch.setenv("LOOP_REDACTION__PYTHON", str(python))
    loop_settings.cache_clear()
    imported = loop("import", file, "--tenant", "acme")
    assert imported.exit_code == 0, imported.output
    (call,) = shipped(database, tmp_path)
    assert json.loads(bytes(call.request))["messages"][0]["content"] == "Call <PERSON>"
    assert call.redacted == {"PERSON": 1}
    assert call.user != "jessica"


def test_feedback_on_an_imported_call_would_be_taken(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    loop("import", write(tmp_path / "calls.jsonl", recorded()), "--tenant", "acme")
    (call,) = shipped(database, tmp_path)
    identity = CallIdentity(identity_secret(tmp_path / "loop" / "identity.secret"))
    assert identity.issued(call.call_id, "acme")
    assert not identity.issued(call.call_id, "default")


def test_the_same_line_is_the_same_call_again(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "calls.jsonl", recorded(), recorded("lights off"))
    loop("import", file)
    loop("import", file)
    calls = shipped(database, tmp_path)
    assert len(calls) == 4
    assert len({call.call_id for call in calls}) == 2


WRONG = [
    ('{"request": {}', "Input data was truncated"),
    ('{"request": {"messages": []}}', "missing required field `response`"),
    ('{"request": {}, "response": {"choices": [1]}}', "neither `messages` nor `prompt`"),
    ('{"request": {"prompt": "a"}, "response": {}}', "has no `choices`"),
    ('{"request": {"prompt": "a"}, "response": {"choices": [1]}}', "it has no time"),
    (json.dumps(recorded(started_at=17)), "its time 17"),
    (json.dumps(recorded(started_at=time.time() + 900)), "and now"),
    (json.dumps(recorded(task="a\nb")), "its task is no printable text"),
    (json.dumps(recorded(latency_ms=-3)), "its latency is -3"),
    (json.dumps(recorded() | {"request": {"messages": ["hi"]}}), "messages are no list of objects"),
]


def test_a_wrong_line_is_refused_with_its_number_and_the_others_are_taken(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "calls.jsonl", recorded())
    file.write_text(file.read_text() + "\n".join(line for line, _ in WRONG) + "\n")
    with file.open("a") as more:
        more.write(json.dumps(recorded("lights off")) + "\n")
    refused = loop("import", file)
    assert refused.exit_code == 1
    told = refused.stderr.splitlines()
    for number, (_, says) in enumerate(WRONG, start=2):
        (line,) = [line for line in told if line.startswith(f"line {number}: ")]
        assert says in line
    assert told[-1] == f"{len(WRONG)} of {len(WRONG) + 2} lines were refused"
    assert "2 calls of" in refused.stdout
    assert len(shipped(database, tmp_path)) == 2


def test_what_was_refused_and_mended_is_taken_and_the_rest_stays_once(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    loop("import", write(tmp_path / "calls.jsonl", recorded(), recorded("off", task="a\nb")))
    loop("import", write(tmp_path / "calls.jsonl", recorded(), recorded("off", task="ab")))
    calls = shipped(database, tmp_path)
    assert len({call.call_id for call in calls}) == 2


def test_imported_calls_are_not_the_gateways_own(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    loop("import", write(tmp_path / "calls.jsonl", recorded()))
    (call,) = shipped(database, tmp_path)
    assert (call.source, call.route, call.release) == ("openai", "external", "imported")


def test_the_endpoint_is_that_of_the_request(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    created = {"created": int(YESTERDAY)}
    lines = [
        {"request": {"prompt": "a"}, "response": created | {"choices": [{"text": "b"}]}},
        {"request": {"input": "a"}, "response": created | {"data": [{"embedding": [0.1]}]}},
        {
            "request": {"input": "a"},
            "response": {
                "created_at": int(YESTERDAY),
                "output": [{"type": "message"}],
                "usage": {"input_tokens": 4, "output_tokens": 2},
            },
        },
        {"request": {"messages": []}, "response": created | {"error": {"message": "too long"}}},
    ]
    imported = loop("import", write(tmp_path / "calls.jsonl", *lines))
    assert imported.exit_code == 0, imported.output
    calls = {call.endpoint: call for call in shipped(database, tmp_path)}
    assert set(calls) == {f"/v1/{e}" for e in ("completions", "embeddings", "responses")} | {
        "/v1/chat/completions"
    }
    assert calls["/v1/responses"].prompt_tokens == 4
    failed = calls["/v1/chat/completions"]
    assert (failed.status, failed.complete) == (500, False)
    assert "too long" in (failed.error or "")


def litellm(**more: object) -> dict[str, object]:
    """A line as LiteLLM's callbacks log it, with the fields that its documentation lists."""
    return {
        "id": "chatcmpl-7",
        "trace_id": "trace-1",
        "call_type": "acompletion",
        "stream": True,
        "response_cost": 2.85e-05,
        "status": "success",
        "custom_llm_provider": "openai",
        "total_tokens": 12,
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "startTime": YESTERDAY,
        "endTime": YESTERDAY + 1.5,
        "completionStartTime": YESTERDAY + 0.25,
        "response_time": 1.5,
        "model": "gpt-4o-mini",
        "model_group": "assistant",
        "api_base": "https://api.openai.com",
        "metadata": {
            "user_api_key_alias": "app",
            "requester_metadata": {"task": "home"},
        },
        "cache_hit": None,
        "request_tags": [],
        "end_user": "u1",
        "messages": [{"role": "user", "content": "lights on"}],
        "response": {
            "id": "chatcmpl-7",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "done"},
                }
            ],
        },
        "error_str": None,
        "model_parameters": {"temperature": 0.5, "stream": True},
        "hidden_params": {},
        **more,
    }


def test_litellms_log_lines_become_calls(loop: Loop, database: sa.Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "litellm.jsonl", litellm())
    imported = loop("import", file, "--format", "litellm", "--tenant", "acme")
    assert imported.exit_code == 0, imported.output
    (call,) = shipped(database, tmp_path)
    assert (call.source, call.tenant, call.task, call.user) == ("litellm", "acme", "home", "u1")
    assert (call.session, call.streamed, call.complete) == ("trace-1", True, True)
    assert (call.prompt_tokens, call.completion_tokens) == (9, 3)
    assert abs(call.latency_ms - 1500) < 1
    assert call.first_byte_ms is not None
    assert abs(call.first_byte_ms - 250) < 1
    assert json.loads(bytes(call.request)) == {
        "model": "assistant",
        "messages": [{"role": "user", "content": "lights on"}],
        "temperature": 0.5,
        "stream": True,
    }
    assert json.loads(call.response)["choices"][0]["message"]["content"] == "done"


def test_one_litellm_call_logged_by_two_callbacks_is_one(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    first = write(tmp_path / "a.jsonl", litellm())
    second = write(tmp_path / "b.jsonl", dict(reversed(litellm(response_time=1.6).items())))
    for file in (first, second):
        loop("import", file, "--format", "litellm")
    assert len({call.call_id for call in shipped(database, tmp_path)}) == 1


def test_litellms_failures_texts_and_embeddings(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    told = {"error_code": "429", "error_class": "RateLimitError", "error_message": "slow down"}
    prompt = [{"role": "user", "content": "once upon"}]
    vectors = {"data": [{"embedding": [0.1]}]}
    lines = [
        litellm(id="1", status="failure", response=None, error_information=told),
        litellm(id="2", call_type="atext_completion", messages=prompt),
        litellm(id="3", call_type="aembedding", messages=["a", "b"], response=vectors),
        litellm(id="4", call_type="image_generation"),
        litellm(id="5", response="redacted-by-litellm"),
    ]
    imported = loop("import", write(tmp_path / "l.jsonl", *lines), "--format", "litellm")
    assert "line 4: its call_type 'image_generation'" in imported.stderr
    assert "line 5: it succeeded, and its `response` is no object" in imported.stderr
    calls = {call.endpoint: call for call in shipped(database, tmp_path)}
    failed = calls["/v1/chat/completions"]
    assert (failed.status, failed.error, failed.complete) == (429, "slow down", False)
    assert json.loads(bytes(calls["/v1/completions"].request))["prompt"] == "once upon"
    assert json.loads(bytes(calls["/v1/embeddings"].request))["input"] == ["a", "b"]


def test_accepted_corrections_go_out_with_their_lineage(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    with database.begin() as connection:
        proposal = {"proposed_in": "f1", "proposed_by": "home-app/u1"}
        connection.execute(sa.insert(review_items).values(item("a", "decided") | proposal))
        connection.execute(sa.insert(review_items).values(item("b", "decided")))
        for decision, of, verdict in (
            ("1", "a", "accept"),
            ("2", "b", "accept"),
            ("3", "b", "reject"),
        ):
            connection.execute(
                sa.insert(decisions).values(
                    decision_id=decision, item_id=of, reviewer="lena", verdict=verdict, chosen="ok"
                )
            )
    out = tmp_path / "corrections.jsonl"
    exported = loop("export", "corrections", "--out", out)
    assert exported.exit_code == 0, exported.output
    (line,) = map(json.loads, out.read_text().splitlines())  # b was rejected in the end
    assert line["call_id"] == "a"
    assert (line["chosen"], line["rejected"]) == ("ok", "no")
    assert (line["feedback_id"], line["contributor"]) == ("f1", "home-app/u1")
    assert (line["decision_id"], line["reviewer"], line["cycles"]) == ("1", "lena", [])


def test_an_adapter_goes_out_with_its_card_and_what_was_measured(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "README.md").write_text(card(RECORD))
    with database.begin() as connection:
        release = registry.register(
            connection,
            cycle=None,
            parent=None,
            adapter="ab" * 32,
            adapter_path=adapter,
            weights_path=tmp_path,
            drill=False,
            record=RECORD,
        )
        move = {"release": release, "from_state": "registered", "to_state": "rejected"}
        values = move | {"actor": "test", "reason": "…", "evidence": EVIDENCE}
        connection.execute(sa.insert(moves).values(values))
    exported = loop("export", "adapter", release, "--out", tmp_path / "out")
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "out" / "README.md").read_text() == card(RECORD, EVIDENCE)
    assert (adapter / "README.md").read_text() == card(RECORD)  # the hashed folder stays as it is


def test_an_adapter_goes_out_as_a_folder(loop: Loop, database: sa.Engine, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    with database.begin() as connection:
        release = registry.register(
            connection,
            cycle=None,
            parent=None,
            adapter="cd" * 32,
            adapter_path=adapter,
            weights_path=tmp_path,
            drill=False,
            record={},
        )
    exported = loop("export", "adapter", release, "--out", tmp_path / "out")
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"weights"
    again = loop("export", "adapter", release, "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "is not empty" in again.output
