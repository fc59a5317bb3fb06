"""The columns of the lake's tables, once: what is written, and what a reader gets of an empty hour.

Columns are only ever added: a file from before one was added reads as null there.
"""

import polars as pl

CALLS = pl.Schema(
    {
        "call_id": pl.String,
        "schema_version": pl.Int32,
        "tenant": pl.String,
        "key_id": pl.String,
        "session": pl.String,
        "user": pl.String,
        "task": pl.String,
        "release": pl.String,
        "route": pl.String,  # champion | canary | shadow | external: filter by it
        "pair_id": pl.String,
        "source": pl.String,  # gateway | otlp | openai | litellm; null before it was recorded
        "endpoint": pl.String,
        "started_at": pl.Float64,
        "first_byte_ms": pl.Float64,
        "latency_ms": pl.Float64,
        "status": pl.Int32,
        "streamed": pl.Boolean,
        "complete": pl.Boolean,
        "error": pl.String,
        "request": pl.String,  # JSON, as the caller sent it
        "response": pl.String,  # JSON or event stream, as the engine sent it
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
        "messages": pl.String,  # JSON: the conversation; of a completion, its prompt
        "answer": pl.String,  # the text of the first choice, from a stream too
        "finish_reason": pl.String,
        "mean_logprob": pl.Float64,
        "min_logprob": pl.Float64,
        "hour": pl.String,
        "segment_id": pl.String,  # where it came from
    }
)

FEEDBACK = pl.Schema(
    {
        "feedback_id": pl.String,
        "record": pl.String,  # feedback | contribution
        "schema_version": pl.Int32,
        "tenant": pl.String,
        "contributor": pl.String,
        "received_at": pl.Float64,
        "call_id": pl.String,  # null for a contribution
        "kind": pl.String,  # rating | correction | outcome | report | contribution
        "rating": pl.Int32,
        "correction": pl.String,
        "outcome": pl.Boolean,
        "report": pl.String,
        "comment": pl.String,
        "messages": pl.String,  # JSON, of a contribution
        "answer": pl.String,  # of a contribution
        "task": pl.String,  # of a contribution; else joined from the call when it is read
        "hour": pl.String,  # of arrival
        "segment_id": pl.String,
    }
)

# One more column for each signal: loop_platform/defs/monitoring/signals/.
SIGNALS = pl.Schema(
    {
        "call_id": pl.String(),
        "task": pl.String(),
        "release": pl.String(),
        "route": pl.String(),
        "hour": pl.String(),
        "segment_id": pl.String(),
        "embedding": pl.List(pl.Float32()),  # of the last user message; null where not embedded
        "flags": pl.String(),  # JSON: [{"signal": …, "reason": …}]
    }
)

KEYS = {
    "telemetry/calls": "call_id",
    "telemetry/feedback": "feedback_id",
    "monitoring/signals": "call_id",
}


def schema(asset: str) -> pl.Schema:
    """The columns of a table; of the signals, with one for each signal that there is."""
    if asset != "monitoring/signals":
        return {"telemetry/calls": CALLS, "telemetry/feedback": FEEDBACK}[asset]
    from loop_platform.defs.monitoring.signals import signal_names

    columns = pl.Schema(SIGNALS)
    columns.update(dict.fromkeys(signal_names(), pl.Float64()))
    return columns
