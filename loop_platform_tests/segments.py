"""Journal segments as the gateway ships them, for tests."""

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from loop_platform.database import segment_hours, segments
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.records import Call, Contribution, Feedback, Record


def chat_response(text: str, logprobs: Sequence[float] = (-0.1, -0.5)) -> str:
    """An engine's answer."""
    tokens = [{"token": "t", "logprob": logprob} for logprob in logprobs]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": tokens},
    }
    return json.dumps({"id": "chatcmpl-1", "choices": [choice]})


def a_call(prompt: str = "Say hello", answer: str = "Hello", **fields: Any) -> Call:
    """A call of now, unless `fields` say otherwise."""
    request = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    given = {
        "call_id": new_id(),
        "tenant": "acme",
        "key_id": "k1",
        "session": None,
        "user": "ada",
        "task": "chat",
        "release": "base-1",
        "route": "champion",
        "endpoint": "/v1/chat/completions",
        "started_at": 1_790_000_000.0,
        "first_byte_ms": 12.0,
        "latency_ms": 80.0,
        "status": 200,
        "streamed": False,
        "complete": True,
        "request": msgspec.Raw(json.dumps(request).encode()),
        "response": chat_response(answer),
        "completion_tokens": 2,
    }
    return Call(**(given | fields))


def a_feedback(call_id: str, **fields: Any) -> Feedback:
    given = {
        "feedback_id": new_id(),
        "call_id": call_id,
        "tenant": "acme",
        "contributor": "ada",
        "kind": "correction",
        "correction": "Hello there",
        "received_at": 1_790_000_001.0,
    }
    return Feedback(**(given | fields))


def lines(records: Sequence[Record]) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def await_steady_hour(seconds: float = 30.0) -> None:
    """Returns when the hour has that long to go: a test that spans its end would be of two."""
    left = 3600 - time.time() % 3600
    if left < seconds:
        time.sleep(left + 0.1)


def ship(
    database: sa.Engine,
    lake: Lake,
    records: Sequence[Record],
    *,
    tail: bytes = b"",
    hours: set[str] | None = None,
    segment_id: str | None = None,
) -> str:
    """Put a segment into the lake and the manifest, and return its id."""
    content = lines(records) + tail
    segment_id = segment_id or new_id()
    path = f"segments/{datetime.now(UTC):%Y-%m-%d}/{segment_id}.jsonl"
    lake.write_bytes(path, content)
    touched = hours or {_hour(record) for record in records} or {hour_of(segment_id)}
    row = {
        "segment_id": segment_id,
        "path": path,
        "bytes": len(content),
        "lines": content.count(b"\n"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with database.begin() as connection:
        connection.execute(sa.insert(segments).values(row))
        rows = [{"segment_id": segment_id, "hour": hour} for hour in sorted(touched)]
        connection.execute(sa.insert(segment_hours).values(rows))
    return segment_id


def _hour(record: Record) -> str:
    known = record.call_id if isinstance(record, Call) else record.feedback_id
    return hour_of(known)


def a_contribution(**fields: Any) -> Contribution:
    given = {
        "feedback_id": new_id(),
        "tenant": "acme",
        "contributor": "ada",
        "task": "chat",
        "received_at": 1_790_000_002.0,
        "messages": [{"role": "user", "content": "Hi"}],
        "answer": "Hello!",
    }
    return Contribution(**(given | fields))
