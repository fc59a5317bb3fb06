"""What there is of a call or of a person: found before it is erased."""

from dataclasses import dataclass, field

import msgspec
import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import api_keys
from loop_platform.defs.telemetry.rows import messages_of
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform.records import Call, Contribution, Feedback
from loop_platform.retention.lines import Line
from loop_platform.retention.waiting import next_hour, waiting_contents


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose data: of one call, or of a tenant's user. `ValueError` where it is neither or both."""

    call_id: str | None = None
    tenant: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        if (self.call_id is None) == (self.user is None):
            raise ValueError("name a call or a user, one of the two")
        if self.user is not None and not self.tenant:
            raise ValueError(f"user {self.user!r} of which tenant?")
        if self.call_id is not None:
            hour_of(self.call_id)

    @property
    def hours(self) -> set[str] | None:
        """Where its calls are; None for any hour. A shadow may answer in the hour after."""
        if self.call_id is None:
            return None
        hour = hour_of(self.call_id)
        return {hour, next_hour(hour)}

    def is_of(self, call: Call | Line) -> bool:
        """Whether a call is the subject's, the shadow's copy of it too."""
        if self.call_id is not None:
            return self.call_id in (call.call_id, call.pair_id)
        return (call.tenant, call.user) == (self.tenant, self.user)

    @property
    def calls(self) -> pl.Expr:
        """The same of the rows of `telemetry/calls`."""
        if self.call_id is not None:
            return (pl.col("call_id") == self.call_id) | (pl.col("pair_id") == self.call_id)
        return (pl.col("tenant") == self.tenant) & (pl.col("user") == self.user)


@dataclass
class Traces:
    """Ids, and what was said word for word, by which later stages' files are searched."""

    calls: set[str] = field(default_factory=set)
    feedback: set[str] = field(default_factory=set)
    """And contributions."""
    conversations: set[str] = field(default_factory=set)
    """As JSON, in the one form that `conversation` gives."""

    @property
    def ids(self) -> set[str]:
        return self.calls | self.feedback

    @property
    def hours(self) -> set[str]:
        return {hour_of(identifier) for identifier in self.ids}


def conversation(messages: object) -> str:
    """One form for the same messages, however their JSON was written."""
    return msgspec.json.encode(messages, order="deterministic").decode()


def find(connection: sa.Connection, lake: Lake, subject: Subject) -> Traces:
    """Everything of the subject in telemetry, converted or not."""
    traces = Traces()
    rows = manifest.calls(connection, lake, hours=subject.hours).filter(subject.calls)
    for call_id, messages in rows.select("call_id", "messages").collect().iter_rows():
        traces.calls.add(call_id)
        _said(traces, messages)
    waiting = list(waiting_contents(connection, lake))
    for call in (call for content in waiting for hour in content.calls.values() for call in hour):
        if subject.is_of(call):
            traces.calls.add(call.call_id)
            _said(traces, messages_of(bytes(call.request).decode(), call.endpoint))
    contributors = _contributors(connection, subject)
    given = [one for content in waiting for hour in content.feedback.values() for one in hour]
    for one in given:
        about = one.call_id if isinstance(one, Feedback) else None
        if about in traces.calls or (one.tenant, one.contributor) in contributors:
            traces.feedback.add(one.feedback_id)
            _contributed(traces, one)
    _feedback(connection, lake, contributors, traces)
    return traces


def _feedback(
    connection: sa.Connection, lake: Lake, contributors: set[tuple[str, str]], traces: Traces
) -> None:
    names = [name for _, name in contributors]
    of_tenant = pl.col("tenant").is_in([tenant for tenant, _ in contributors])
    theirs = of_tenant & pl.col("contributor").is_in(names)
    rows = manifest.rows(connection, lake, "telemetry/feedback").filter(
        (pl.col("call_id").is_in(list(traces.calls)) | theirs).fill_null(value=False)
    )
    for feedback_id, messages in rows.select("feedback_id", "messages").collect().iter_rows():
        traces.feedback.add(feedback_id)
        _said(traces, messages)


def _contributors(connection: sa.Connection, subject: Subject) -> set[tuple[str, str]]:
    """Tenant and name under which the user's feedback is kept: each of the tenant's keys may speak
    for the user (loop_platform/gateway/feedback.py)."""
    if subject.user is None or subject.tenant is None:
        return set()
    query = sa.select(api_keys.c.name.distinct()).where(api_keys.c.tenant == subject.tenant)
    return {(subject.tenant, f"{name}/{subject.user}") for name in connection.scalars(query)}


def _contributed(traces: Traces, one: Feedback | Contribution) -> None:
    if isinstance(one, Contribution):
        traces.conversations.add(conversation(one.messages))


def _said(traces: Traces, messages: str | None) -> None:
    decoded = msgspec.json.decode(messages or "[]")
    if decoded:
        traces.conversations.add(conversation(decoded))
