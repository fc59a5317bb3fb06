"""Calls, signals and feedback in a lake, as telemetry leaves them there."""

import json
import time
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform.database import parts
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.tables import KEYS, schema

Row = dict[str, Any]


def call(prompt: str = "turn on the lamp", **fields: Any) -> Row:
    given = {
        "call_id": new_id(),
        "tenant": "acme",
        "key_id": "k1",
        "task": "home",
        "user": "user-1",
        "release": "base-1",
        "route": "champion",
        "started_at": time.time(),
        "latency_ms": 12.0,
        "status": 200,
        "streamed": False,
        "complete": True,
        "request": json.dumps({"messages": [{"role": "user", "content": prompt}]}),
        "response": "{}",
        "messages": json.dumps([{"role": "user", "content": prompt}]),
        "answer": "I cannot do that.",
        "mean_logprob": -0.5,
    }
    return given | fields


def signal(of: Row, embedding: list[float] | None, *flagged: str) -> Row:
    flags = [{"signal": name, "reason": f"it shows {name}"} for name in flagged]
    shared = {name: of[name] for name in ("call_id", "task", "release", "route")}
    return shared | {"embedding": embedding, "flags": json.dumps(flags)}


def feedback(on: Row, kind: str, contributor: str = "user-1", **what: Any) -> Row:
    given = {"feedback_id": new_id(), "record": "feedback", "call_id": on["call_id"], "kind": kind}
    who = {"tenant": on["tenant"], "contributor": contributor, "received_at": time.time()}
    return given | who | what


def contribution(prompt: str, answer: str, contributor: str = "dev") -> Row:
    return {
        "feedback_id": new_id(),
        "record": "contribution",
        "kind": "contribution",
        "tenant": "acme",
        "contributor": contributor,
        "task": "home",
        "received_at": time.time(),
        "messages": json.dumps([{"role": "user", "content": prompt}]),
        "answer": answer,
    }


def arrived(database: sa.Engine, lake: Lake, asset: str, *rows: Row) -> None:
    """One more segment, converted: its part of each hour that it touches."""
    hours: dict[str, list[Row]] = {}
    for row in rows:
        hour = hour_of(row[KEYS[asset]])
        hours.setdefault(hour, []).append(row | {"hour": hour})
    segment_id = new_id()
    for hour, found in hours.items():
        path = f"{asset}/{hour.replace(':', '')}/{segment_id}.parquet"
        lake.write(pl.DataFrame(found, schema=schema(asset)), path)
        with database.begin() as connection:
            values = {"asset": asset, "hour": hour, "segment_id": segment_id, "path": path}
            connection.execute(sa.insert(parts).values(**values, rows=len(found)))
