"""Records as table rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from loop_platform.defs.telemetry.answered import RESPONSES, answer_of
from loop_platform.defs.telemetry.responses import messages_of_response
from loop_platform.identity import hour_of
from loop_platform.records import Call, Contribution, Feedback
from loop_platform.tables import CALLS, FEEDBACK


def call_rows(calls: Sequence[Call], segment_id: str) -> pl.DataFrame:
    """A row a call, by id; a call that is there twice counts once."""
    rows = [_call(call) | {"segment_id": segment_id} for call in calls]
    return (
        pl.DataFrame(rows, CALLS)
        .sort("call_id")
        .unique("call_id", keep="first", maintain_order=True)
    )


def feedback_rows(given: Sequence[Feedback | Contribution], segment_id: str) -> pl.DataFrame:
    """A row a piece of feedback or contribution, by id."""
    rows = [_feedback(one) | {"segment_id": segment_id} for one in given]
    frame = pl.DataFrame(rows, FEEDBACK)
    in_order = frame.sort("feedback_id", "received_at")  # of what was sent twice, the first counts
    return in_order.unique("feedback_id", keep="first", maintain_order=True)


def _call(call: Call) -> dict[str, Any]:
    answer = answer_of(call)
    request = bytes(call.request).decode()
    return _fields(call) | {
        "request": request,
        "messages": messages_of(request, call.endpoint),
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "mean_logprob": answer.mean_logprob,
        "min_logprob": answer.min_logprob,
        "hour": hour_of(call.call_id),
    }


def messages_of(request: str, endpoint: str) -> str:
    """The conversation in a request's body, as JSON: a completion's prompt is one user message.

    The texts of an embedding are no conversation: there is nothing to answer in them.
    """
    try:
        body = msgspec.json.decode(request)
    except msgspec.DecodeError:  # an escape that stands for no character: raw JSON passes it
        return "[]"
    if not isinstance(body, dict):
        return "[]"
    if endpoint == RESPONSES:
        return msgspec.json.encode(messages_of_response(body)).decode()
    messages = body.get("messages")
    if messages is None and "prompt" in body:
        prompt = body["prompt"]
        text = prompt if isinstance(prompt, str) else msgspec.json.encode(prompt).decode()
        messages = [{"role": "user", "content": text}]
    return msgspec.json.encode(messages or []).decode()


def _feedback(given: Feedback | Contribution) -> dict[str, Any]:
    row = _fields(given) | {"hour": hour_of(given.feedback_id)}
    if isinstance(given, Contribution):
        messages = msgspec.json.encode(given.messages).decode()
        return row | {"record": "contribution", "kind": "contribution", "messages": messages}
    return row | {"record": "feedback"}


def _fields(record: Call | Feedback | Contribution) -> dict[str, Any]:
    names = (name for name in record.__struct_fields__ if name != "redacted")  # it stays in the log
    return {name: getattr(record, name) for name in names}
