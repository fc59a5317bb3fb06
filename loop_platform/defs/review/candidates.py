"""What asks for a person's eyes: flagged calls, and calls that someone objected to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from loop_platform.defs.review.ranking import objects
from loop_platform.drilling.names import TENANT as DRILLS

_SAID = ("rating", "correction", "outcome", "report", "comment")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A call, or a contribution, on its way into the review queue."""

    item_id: str
    call_id: str | None
    tenant: str
    task: str
    release: str | None
    messages: list[dict[str, Any]]
    answer: str | None
    mean_logprob: float | None
    embedding: Sequence[float] | None
    flags: list[dict[str, str]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """The last thing that the user said."""
        return last_user_message(self.messages)


def last_user_message(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of the role `user`; empty where there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: object) -> str:
    """A message's content as text: the API takes a string, or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def from_calls(
    calls: pl.DataFrame, signals: pl.DataFrame, feedback: pl.DataFrame
) -> list[Candidate]:
    """The calls among `calls` that are flagged or objected to, each once. Shadows never are, nor
    the calls of a drill."""
    flagged = {row["call_id"]: row for row in signals.iter_rows(named=True)}
    said = _by_call(feedback)
    asked = calls.filter(pl.col("route") != "shadow", pl.col("tenant") != DRILLS)
    rows = asked.sort("call_id").iter_rows(named=True)
    candidates = (
        _from_call(row, flagged.get(row["call_id"], {}), said.get(row["call_id"], []))
        for row in rows
    )
    return [
        candidate
        for candidate in candidates
        if candidate.flags or any(objects(entry) for entry in candidate.feedback)
    ]


def from_contributions(contributions: pl.DataFrame) -> list[Candidate]:
    """Every contribution, its answer being what is proposed."""
    return [_from_contribution(row) for row in contributions.iter_rows(named=True)]


def _from_call(
    call: Mapping[str, Any], signals: Mapping[str, Any], feedback: list[dict[str, Any]]
) -> Candidate:
    return Candidate(
        item_id=call["call_id"],
        call_id=call["call_id"],
        tenant=call["tenant"],
        task=call["task"],
        release=call["release"],
        messages=json.loads(call["messages"] or "[]"),
        answer=call["answer"],
        mean_logprob=call["mean_logprob"],
        embedding=signals.get("embedding"),
        flags=json.loads(signals.get("flags") or "[]"),
        feedback=feedback,
    )


def _from_contribution(row: Mapping[str, Any]) -> Candidate:
    said = _said(row) | {"kind": "contribution", "correction": row["answer"]}
    return Candidate(
        item_id=row["feedback_id"],
        call_id=None,
        tenant=row["tenant"],
        task=row["task"],
        release=None,
        messages=json.loads(row["messages"]),
        answer=None,
        mean_logprob=None,
        embedding=None,
        feedback=[said],
    )


def _by_call(feedback: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    said: dict[str, list[dict[str, Any]]] = {}
    for row in feedback.sort("received_at", "feedback_id").iter_rows(named=True):
        said.setdefault(row["call_id"], []).append(_said(row))
    return said


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    known = ("feedback_id", "kind", "contributor", "received_at")
    return {name: row[name] for name in known} | {
        name: row[name] for name in _SAID if row[name] is not None
    }
