"""Erases a call, or everything of a person: journal, lake, review queue, datasets.

What is not covered: backups, the logs, Dagster's own event log (it holds counts and ids, never what
people wrote), and what the weights of an adapter learned, which is listed. Done twice it is done
once: after a break, run it again. Answers that are kept for retries do not say whose they are: all
of them go, and a retry is answered afresh.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import sqlalchemy as sa

from loop_platform.database import (
    canary_answers,
    cycle_corrections,
    decisions,
    judge_records,
    objections,
    pair_verdicts,
    parts,
    review_feedback,
    review_items,
    superseded_files,
)
from loop_platform.defs.telemetry.parts import hold_every_hour
from loop_platform.gateway.kept import KEPT_ANSWERS, KeptAnswers
from loop_platform.lake import Lake
from loop_platform.retention.datasets import erase_lines, erase_rows
from loop_platform.retention.learners import Learner, learners
from loop_platform.retention.lines import line_of
from loop_platform.retention.removal import Keep, Removal, Removed
from loop_platform.retention.traces import Subject, Traces, conversation, find
from loop_platform.retention.waiting import segments_of, waiting_segments


@dataclass
class Erased:
    """What went, and what learned from it."""

    removed: Removed = field(default_factory=Removed)
    review_items: int = 0
    decisions: int = 0
    dataset_rows: dict[str, int] = field(default_factory=dict)
    """By asset, and by training file."""
    kept_answers: int = 0
    """Of anybody, kept under an `Idempotency-Key`."""
    learners: list[Learner] = field(default_factory=list)

    @property
    def anything(self) -> bool:
        removed = self.removed
        return bool(removed.calls or removed.feedback or removed.lines or self.review_items)


def erase(database: sa.Engine, lake: Lake, data_dir: Path, subject: Subject) -> Erased:
    """Erases what is in the lake, the database and the cycles' folders. The journal has to be
    shipped before."""
    erased = Erased()
    with database.begin() as connection:
        traces = find(connection, lake, subject)
        items = _items(connection, traces)
        decided = _decisions(connection, items)
        trained = _trained(connection, decided)
        # The files first: what finds them again, were we to break here, is still in the database.
        erased.dataset_rows = erase_rows(lake, traces, decided)
        lines = erase_lines(data_dir / "cycles", traces)
        erased.dataset_rows |= {name: sum(cycles.values()) for name, cycles in lines.items()}
        erased.learners = learners(
            connection,
            trained
            | lines.get("corrections.jsonl", {}).keys()
            | lines.get("rehearsal.jsonl", {}).keys(),
            lines.get("thumbs.jsonl", {}).keys(),
            lines.get("replay.jsonl", {}).keys(),
        )
        erased.removed = _telemetry(connection, lake, subject, traces)
        erased.review_items, erased.decisions = len(items), len(decided)
        _queue(connection, items, decided)
        _verdicts(connection, traces.calls, decided)
        _met(connection, traces.calls)
    _remove_files(database, lake, erased.removed.files)
    erased.kept_answers = KeptAnswers(data_dir / KEPT_ANSWERS, ttl_s=0, max_bytes=0).forget()
    return erased


def _telemetry(connection: sa.Connection, lake: Lake, subject: Subject, traces: Traces) -> Removed:
    """Calls, signals and feedback, and the journal's lines of them, those sent twice too."""
    concerned = {
        *segments_of(connection, traces.hours),
        *(segment.segment_id for segment in waiting_segments(connection)),
        *connection.scalars(sa.select(parts.c.segment_id).where(parts.c.corrupt > 0)),
    }
    # Their files go at once, whatever hours they touch: nobody may be reading one.
    hold_every_hour(connection)
    removal = Removal(connection, lake, traces.hours, alone=True)
    keep = _others(subject, traces)
    removal.rows(traces.calls, traces.feedback)
    removal.lines(concerned, keep)
    removal.aside(concerned, keep)
    return removal.removed


def _others(subject: Subject, traces: Traces) -> Keep:
    """Whether a line of the journal is not the subject's. One that cannot be read is, where it
    holds the call's id or the user's."""
    marks = [identifier.encode() for identifier in traces.ids]
    if subject.call_id is not None:
        marks.append(subject.call_id.encode())
    if subject.user is not None:
        marks.append(b'"user":' + msgspec.json.encode(subject.user))

    def keep(text: bytes) -> bool:
        line = line_of(text)
        if line is None:
            return not any(mark in text for mark in marks)
        if line.called is not None:
            return line.called.call_id not in traces.calls and not subject.is_of(line.called)
        return line.call_id not in traces.calls and line.feedback_id not in traces.feedback

    return keep


def _items(connection: sa.Connection, traces: Traces) -> set[str]:
    """The review items of the calls, and those that the subject's feedback went into. What was said
    in them is looked for in the datasets too."""
    fed = sa.select(review_feedback.c.item_id).where(
        review_feedback.c.feedback_id.in_(traces.feedback)
    )
    query = sa.select(review_items.c.item_id, review_items.c.messages).where(
        sa.or_(
            review_items.c.call_id.in_(traces.calls),
            review_items.c.item_id.in_(traces.ids),
            review_items.c.item_id.in_(fed),
        )
    )
    found = connection.execute(query).all()
    traces.conversations |= {conversation(row.messages) for row in found if row.messages}
    return {row.item_id for row in found}


def _decisions(connection: sa.Connection, items: set[str]) -> set[str]:
    query = sa.select(decisions.c.decision_id).where(decisions.c.item_id.in_(items))
    return set(connection.scalars(query))


def _trained(connection: sa.Connection, decided: set[str]) -> set[str]:
    """The cycles that trained on any of these decisions."""
    query = sa.select(cycle_corrections.c.cycle).where(
        cycle_corrections.c.decision_id.in_(decided), cycle_corrections.c.split == "train"
    )
    return set(connection.scalars(query))


def _queue(connection: sa.Connection, items: set[str], decided: set[str]) -> None:
    for column, values in (
        (cycle_corrections.c.decision_id, decided),
        (decisions.c.decision_id, decided),
        (review_feedback.c.item_id, items),
        (review_items.c.item_id, items),
    ):
        connection.execute(sa.delete(column.table).where(column.in_(values)))


def _verdicts(connection: sa.Connection, calls: Collection[str], decided: set[str]) -> None:
    """What people and judges said of the answers. None of it holds a word of them."""
    of_pair = sa.func.split_part(judge_records.c.subject, "/", 1).in_(calls)
    of_decision = sa.func.split_part(judge_records.c.subject, "#", 1).in_(decided)
    connection.execute(sa.delete(judge_records).where(of_pair | of_decision))
    connection.execute(sa.delete(pair_verdicts).where(pair_verdicts.c.pair_id.in_(calls)))


def _met(connection: sa.Connection, calls: Collection[str]) -> None:
    """Who met a canary, and who objected: ids alone, and gone with their calls."""
    for table in (canary_answers, objections):
        connection.execute(sa.delete(table).where(table.c.call_id.in_(calls)))


def _remove_files(database: sa.Engine, lake: Lake, paths: Iterable[str]) -> None:
    """At once, not when it suits the readers."""
    with database.begin() as connection:
        for path in sorted(paths):
            gone = sa.delete(superseded_files).where(superseded_files.c.path == path)
            if connection.execute(gone).rowcount:
                lake.remove(path)
