"""PostgreSQL: the tables that the stages share, and how to reach them.

What is large or append-only lives in the lake; what people and the controller change lives here.
The schema moves by alembic alone (loop_platform/migrations).
"""

from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from loop_platform.settings import Settings, settings

metadata = sa.MetaData()

_now = sa.func.clock_timestamp()


def _at(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    """A point in time; one that must be there defaults to now."""
    timestamp = sa.DateTime(timezone=True)
    if nullable:
        return sa.Column(name, timestamp)
    return sa.Column(name, timestamp, nullable=False, server_default=_now)


# who

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),  # caller | contributor | reviewer | admin
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),  # the contributor or reviewer that it stands for
    _at("created_at"),
    _at("revoked_at", nullable=True),  # to come, where another key is taking its place
    # At most; null: as much as there is.
    sa.Column("requests_per_minute", sa.BigInteger),
    sa.Column("tokens_per_minute", sa.BigInteger),
)

# What was ever taken of the limits of a key or a tenant, added to by all workers
# (loop_platform/gateway/allowance.py). Only differences mean something.
rate_usage = sa.Table(
    "rate_usage",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
)

# telemetry: the manifest

segments = sa.Table(
    "segments",
    metadata,
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),  # relative to the lake
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    _at("sealed_at"),
    # By the observer (loop_platform/observer): in the sums for Prometheus, and sent as spans.
    sa.Column("counted", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("exported", sa.Boolean, nullable=False, server_default="false"),
    sa.Index("segments_uncounted", "segment_id", postgresql_where=sa.text("NOT counted")),
    sa.Index("segments_unexported", "segment_id", postgresql_where=sa.text("NOT exported")),
)

# Which hours a segment touches, by asset: calls by the hour in their id, feedback by arrival.
segment_hours = sa.Table(
    "segment_hours",
    metadata,
    sa.Column("segment_id", sa.Text, sa.ForeignKey("segments.segment_id"), primary_key=True),
    sa.Column("hour", sa.Text, primary_key=True),
    # Every telemetry asset has its part: sensors look at the unsettled few alone.
    sa.Column("settled", sa.Boolean, nullable=False, server_default="false"),
    sa.Index("segment_hours_hour", "hour"),
    sa.Index("segment_hours_unsettled", "hour", postgresql_where=sa.text("NOT settled")),
)

# Immutable Parquet made of one segment for one hour of one asset, `telemetry/calls`,
# `telemetry/feedback`, `monitoring/signals`.
parts = sa.Table(
    "parts",
    metadata,
    sa.Column("asset", sa.Text, primary_key=True),
    sa.Column("hour", sa.Text, primary_key=True),
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("corrupt", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("compacted", sa.Boolean, nullable=False, server_default="false"),
    _at("created_at"),
    sa.Index("parts_uncompacted", "hour", postgresql_where=sa.text("NOT compacted AND rows > 0")),
)

# How many calls a segment brought, so that sensors count without opening a file.
call_counts = sa.Table(
    "call_counts",
    metadata,
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("hour", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    _at("counted_at"),
    sa.Index("call_counts_release", "release", "route"),
    sa.Index("call_counts_task", "task", "route", "counted_at"),
)

# Files that compaction replaced, kept a while for those who are reading them.
superseded_files = sa.Table(
    "superseded_files",
    metadata,
    sa.Column("path", sa.Text, primary_key=True),
    _at("superseded_at"),
)

# monitoring

# The verdict of every drift report, a row a task: an alarm opens a cycle.
drift_verdicts = sa.Table(
    "drift_verdicts",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("last_call_id", sa.Text, primary_key=True),  # of the window that was looked at
    sa.Column("hour", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),  # the champion then
    sa.Column("drifted", sa.Boolean, nullable=False),
    sa.Column("p_value", sa.Double, nullable=False),
    sa.Column("effect", sa.Double, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    _at("reported_at"),
)

# review

review_items = sa.Table(
    "review_items",
    metadata,
    sa.Column("item_id", sa.Text, primary_key=True),  # of the call, or of the contribution
    sa.Column("call_id", sa.Text, unique=True),  # null for a contribution
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("release", sa.Text),
    sa.Column("cluster", sa.Text, nullable=False),
    sa.Column("embedding", ARRAY(sa.REAL)),
    sa.Column("harm", sa.Double, nullable=False),  # what the four mean: defs/review/ranking.py
    sa.Column("impact", sa.Double, nullable=False),
    sa.Column("novelty", sa.Double, nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("priority", sa.Double, nullable=False),
    sa.Column("messages", JSONB, nullable=False),
    sa.Column("answer", sa.Text),  # what the model said; null for a contribution
    sa.Column("flags", JSONB, nullable=False),  # [{"signal": …, "reason": …}]
    sa.Column("feedback", JSONB, nullable=False),  # [{"feedback_id", "kind", …}], every one seen
    sa.Column("proposed", sa.Text),  # the latest correction proposed
    sa.Column("proposed_by", sa.Text),
    sa.Column("proposed_in", sa.Text),  # its feedback_id
    sa.Column("state", sa.Text, nullable=False, server_default="open"),  # open | decided
    sa.Column("leased_by", sa.Text),
    _at("leased_until", nullable=True),
    _at("created_at"),
    sa.Index("review_items_queue", "state", sa.text("priority DESC"), "item_id"),
)

# Which item a piece of feedback went into: the first station of its way.
review_feedback = sa.Table(
    "review_feedback",
    metadata,
    sa.Column("feedback_id", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, sa.ForeignKey("review_items.item_id"), nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("contributor", sa.Text, nullable=False),
    _at("received_at"),
    sa.Index("review_feedback_item", "item_id"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, sa.ForeignKey("review_items.item_id"), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),  # accept | correct | reject | malicious | skip
    sa.Column("chosen", sa.Text),  # the right answer, for accept and correct
    sa.Column("note", sa.Text),
    _at("decided_at"),
    sa.Index("decisions_item", "item_id"),
)

# cycles

cycles = sa.Table(
    "cycles",
    metadata,
    sa.Column("cycle", sa.Text, primary_key=True),  # 0001, and 0001-drill
    sa.Column("kind", sa.Text, nullable=False),  # improvement | drill | import
    # The cycle whose rows it has: that a drill tries again, or that an import is tested on.
    sa.Column("drill_of", sa.Text, sa.ForeignKey("cycles.cycle")),
    sa.Column("reason", sa.Text, nullable=False),
    _at("opened_at"),
    _at("closed_at", nullable=True),
)

# The corrections of a cycle, training and held-out and quarantined: the lineage both ways.
cycle_corrections = sa.Table(
    "cycle_corrections",
    metadata,
    sa.Column("cycle", sa.Text, sa.ForeignKey("cycles.cycle"), primary_key=True),
    sa.Column("decision_id", sa.Text, sa.ForeignKey("decisions.decision_id"), primary_key=True),
    sa.Column("feedback_id", sa.Text),
    sa.Column("contributor", sa.Text, nullable=False),
    sa.Column("split", sa.Text, nullable=False),  # train | heldout | quarantine | deferred
    sa.Column("reason", sa.Text),  # why quarantined or deferred
    sa.Index("cycle_corrections_feedback", "feedback_id"),
)

# releases

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("cycle", sa.Text),  # null for the base release and imports
    sa.Column("parent", sa.Text),  # the champion that it was trained on
    sa.Column("adapter", sa.Text),  # content hash; null for the bare base model
    sa.Column("adapter_path", sa.Text),
    sa.Column("weights_path", sa.Text, nullable=False),  # merged weights, or the base model's
    sa.Column("drill", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("record", JSONB, nullable=False),  # the training record
    _at("created_at"),
    _at("state_since"),
)

# Every move, with its evidence: the audit log. Rows are only ever added.
moves = sa.Table(
    "moves",
    metadata,
    sa.Column("move_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("release", sa.Text, sa.ForeignKey("releases.release"), nullable=False),
    sa.Column("from_state", sa.Text),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    _at("moved_at"),
    sa.Index("moves_release", "release", "move_id"),
)

# What Dagster, the console or the command line asks of the controller.
move_requests = sa.Table(
    "move_requests",
    metadata,
    sa.Column("request_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("release", sa.Text, sa.ForeignKey("releases.release"), nullable=False),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    _at("requested_at"),
    _at("handled_at", nullable=True),
    sa.Column("refusal", sa.Text),  # null on a handled request: it was done
)

# Where traffic goes: one row. `version` grows with each change.
routes = sa.Table(
    "routes",
    metadata,
    sa.Column("only", sa.Boolean, sa.CheckConstraint("only"), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("champion", sa.Text, sa.ForeignKey("releases.release")),
    sa.Column("champion_url", sa.Text),
    sa.Column("champion_model", sa.Text),  # the name that the engine serves it under
    sa.Column("canary", sa.Text, sa.ForeignKey("releases.release")),
    sa.Column("canary_url", sa.Text),
    sa.Column("canary_model", sa.Text),
    sa.Column("canary_share", sa.Double),
    sa.Column("shadow", sa.Text, sa.ForeignKey("releases.release")),
    sa.Column("shadow_url", sa.Text),
    sa.Column("shadow_model", sa.Text),
    sa.Column("shadow_share", sa.Double),
    _at("lease_until", nullable=True),  # of canary and shadow alike
    sa.Column("paused", sa.Boolean, nullable=False, server_default="false"),
    _at("changed_at"),
)

# What an engine slot should serve and does serve.
engine_slots = sa.Table(
    "engine_slots",
    metadata,
    sa.Column("slot", sa.Text, primary_key=True),  # a | b
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("release", sa.Text, sa.ForeignKey("releases.release")),
    sa.Column("ready", sa.Boolean, nullable=False, server_default="false"),
    _at("since"),
)

# A trial's plan, fixed before its first pair or call, and what is known of it so far.
trials = sa.Table(
    "trials",
    metadata,
    sa.Column("release", sa.Text, sa.ForeignKey("releases.release"), primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),  # shadow | canary
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("planned", sa.Integer, nullable=False),  # pairs or calls before the first verdict
    sa.Column("budget", sa.Integer, nullable=False),  # pairs or calls at most
    sa.Column("fronts", JSONB, nullable=False),  # settings.FrontSettings when it began
    _at("started_at"),
    _at("ended_at", nullable=True),
    sa.Column("verdict", sa.Text),  # passed | failed | not known; null while it runs
    sa.Column("evidence", JSONB),  # of the last look: what a person sees who decides on it
)

# What people said of mirrored pairs, shown to them without a word on which answer is whose. A row
# is there from when a pair is shown: which answer was on the left is kept, and nobody else gets the
# pair for a while.
pair_verdicts = sa.Table(
    "pair_verdicts",
    metadata,
    sa.Column("pair_id", sa.Text, primary_key=True),  # the champion's call
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("release", sa.Text, sa.ForeignKey("releases.release"), nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("left_side", sa.Text, nullable=False),  # champion | candidate
    _at("shown_at"),
    sa.Column("verdict", sa.Text),  # champion | candidate | tie | both bad | skip
    _at("decided_at", nullable=True),
    sa.Index("pair_verdicts_release", "release"),
    sa.Index("pair_verdicts_task", "task", "decided_at"),
)

# A judge beside a person, on the same pair: what it is calibrated by.
judge_records = sa.Table(
    "judge_records",
    metadata,
    sa.Column("identity", sa.Text, primary_key=True),  # of the judge: what shapes its verdicts
    sa.Column("subject", sa.Text, primary_key=True),  # a decision's id, or pair/person
    sa.Column("judge", sa.Text, nullable=False),  # its name in the settings
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),  # correction | pair | planted
    sa.Column("person_said", sa.Text, nullable=False),  # one | other | tie
    sa.Column("judge_said", sa.Text),  # null: what it said was no verdict
    sa.Column("problem", sa.Text),
    sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),  # by the person
    _at("judged_at"),
    sa.Index("judge_records_task", "task", "identity"),
)

# Counts that the gateway workers add to once a second: the guardrails look here.
route_counters = sa.Table(
    "route_counters",
    metadata,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("minute", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=False),  # sum over the calls
    sa.Column("over_budget", sa.BigInteger, nullable=False),  # slower than the latency budget
)

# What callers got of a release, added to by the observer: the guardrails look here too. The minute
# is that of the call.
conduct = sa.Table(
    "conduct",
    metadata,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("minute", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("answers", sa.BigInteger, nullable=False),  # that came whole
    sa.Column("declined", sa.BigInteger, nullable=False),
    sa.Column("metered", sa.BigInteger, nullable=False),  # of which the engine told the tokens
    sa.Column("tokens", sa.BigInteger, nullable=False),  # of these answers, summed up
    sa.Column("tokens_squared", sa.Double, nullable=False),
)

# Whom an objection concerns: a call of a canary is one of few, all others are the champion's.
canary_answers = sa.Table(
    "canary_answers",
    metadata,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("release", sa.Text, nullable=False),
)

# The calls that somebody objected to, however often.
objections = sa.Table(
    "objections",
    metadata,
    sa.Column("call_id", sa.Text, primary_key=True),
)

# What Prometheus is shown, added to by the observer and the gateway's workers: whichever worker is
# scraped shows the same.
metric_sums = sa.Table(
    "metric_sums",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),  # loop_platform/observer/measures.py
    sa.Column("labels", sa.Text, primary_key=True),  # JSON, in the order of their names
    sa.Column("value", sa.Double, nullable=False),
)


def database_url(settings: Settings) -> str:
    """Where the loop's database is: `LOOP_DATABASE_URL`, or the embedded server's socket."""
    if settings.database_url is not None:
        return settings.database_url
    return f"postgresql+psycopg2://postgres@/loop?host={socket_folder(settings)}"


def socket_folder(settings: Settings) -> Path:
    """The folder of the embedded server's socket; no TCP port is opened.

    A socket's path may have 107 bytes: where the data folder lies deeper, a short link to it is
    used (loop_platform/stack/postgres.py makes it).
    """
    from loop_platform.stack.postgres import socket_folder as folder

    return folder(settings.data_dir)


@cache
def engine() -> sa.Engine:
    """The process's connection pool. A connection that died while idle is replaced unseen."""
    return sa.create_engine(
        database_url(settings()),
        pool_pre_ping=True,
        pool_size=4,
        connect_args={"connect_timeout": 5, "application_name": "loop"},
    )
