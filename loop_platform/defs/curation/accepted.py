"""Corrections that people accepted and no cycle has used."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from loop_platform.defs.review.candidates import last_user_message

COLUMNS = pl.Schema(
    {
        "decision_id": pl.String(),
        "feedback_id": pl.String(),  # null where nobody but the reviewer spoke
        "call_id": pl.String(),  # null for a contribution
        "contributor": pl.String(),
        "tenant": pl.String(),
        "task": pl.String(),
        "messages": pl.String(),  # JSON
        "prompt": pl.String(),  # the last user message
        "chosen": pl.String(),
        "rejected": pl.String(),  # null for a contribution
        "cluster": pl.String(),
        "harm": pl.Float64(),  # how much spoke against the answer
        "embedding": pl.List(pl.Float32),  # of the prompt
        "reviewer": pl.String(),
        "decided_at": pl.Datetime("us", "UTC"),
    }
)

# A person's last word on an item counts.
_LABELLED = """
    WITH last AS (
        SELECT DISTINCT ON (item_id) * FROM decisions
        WHERE verdict <> 'skip' AND decided_at <= coalesce(:until, 'infinity'::timestamptz)
        ORDER BY item_id, decided_at DESC, decision_id DESC
    ), labelled AS (
        SELECT last.*, item.call_id, item.tenant, item.task, item.messages, item.answer,
               item.cluster, item.harm, item.embedding,
               coalesce(item.proposed_in, item.feedback->0->>'feedback_id') AS feedback_id,
               coalesce(item.proposed_by, item.feedback->0->>'contributor',
                        'reviewer:' || last.reviewer) AS contributor
        FROM last JOIN review_items AS item USING (item_id)
        WHERE last.verdict IN ('accept', 'correct')
    )
"""

# A cycle uses what it did not defer, unless it was given up before it had a release.
_ACCEPTED = f"""
    {_LABELLED}, used AS (
        SELECT decision_id FROM cycle_corrections JOIN cycles USING (cycle)
        WHERE split <> 'deferred' AND kind = 'improvement' AND cycle <> :cycle
          AND (closed_at IS NULL
               OR EXISTS (SELECT 1 FROM releases WHERE releases.cycle = cycles.cycle))
    ), accepted AS (
        SELECT * FROM labelled
        WHERE NOT EXISTS (SELECT 1 FROM used WHERE used.decision_id = labelled.decision_id)
    )
"""

_ROWS = sa.text(f"{_ACCEPTED} SELECT * FROM accepted ORDER BY decided_at, decision_id")

_TRAINED = sa.text(f"""
    {_LABELLED} SELECT labelled.*, past.cycle FROM labelled
    JOIN cycle_corrections AS past USING (decision_id)
    WHERE past.split = 'train' AND past.cycle = ANY(:cycles)
    ORDER BY past.cycle, decided_at, decision_id
""")

_COUNTS = sa.text(f"{_ACCEPTED} SELECT contributor, count(*) FROM accepted GROUP BY contributor")


def accepted(connection: sa.Connection, cycle: str) -> pl.DataFrame:
    """What `cycle` may use: accepted before it opened and used by no other, oldest first."""
    rows = connection.execute(_ROWS, {"until": _opened(connection, cycle), "cycle": cycle})
    return pl.DataFrame([_row(dict(row)) for row in rows.mappings()], schema=COLUMNS)


def trained_in(connection: sa.Connection, past: Sequence[str], cycle: str) -> pl.DataFrame:
    """What `past` cycles trained on and people stood by when `cycle` opened, with its `cycle`; the
    earliest cycle first, and of each the oldest."""
    given = {"until": _opened(connection, cycle), "cycles": list(past)}
    rows = connection.execute(_TRAINED, given).mappings()
    return pl.DataFrame(
        [_row(dict(row)) | {"cycle": row["cycle"]} for row in rows],
        schema={**COLUMNS, "cycle": pl.String()},
    )


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many unused corrections each contributor has."""
    rows = connection.execute(_COUNTS, {"until": None, "cycle": ""}).tuples()
    return dict(rows.all())


def trained_before(connection: sa.Connection, cycle: str) -> list[tuple[str, list[float]]]:
    """Of each correction that earlier cycles trained on what the user said last, embedded too."""
    query = sa.text("""
        SELECT item.messages, item.embedding FROM cycle_corrections AS used
        JOIN cycles USING (cycle) JOIN decisions USING (decision_id)
        JOIN review_items AS item USING (item_id)
        WHERE used.split = 'train' AND used.cycle <> :cycle AND item.embedding IS NOT NULL
          AND cycles.opened_at < (SELECT opened_at FROM cycles WHERE cycle = :cycle)
        ORDER BY used.cycle, used.decision_id
    """)
    rows = connection.execute(query, {"cycle": cycle}).tuples()
    return [(last_user_message(messages), embedding) for messages, embedding in rows]


def _opened(connection: sa.Connection, cycle: str) -> datetime:
    opened: datetime = connection.execute(
        sa.text("SELECT opened_at FROM cycles WHERE cycle = :cycle"), {"cycle": cycle}
    ).scalar_one()
    return opened


def _row(row: Mapping[str, object]) -> dict[str, object]:
    messages = row["messages"]
    return {
        **{name: row[name] for name in COLUMNS if name in row},
        "messages": json.dumps(messages, ensure_ascii=False),
        "prompt": last_user_message(messages) if isinstance(messages, list) else None,
        "rejected": row["answer"],
    }
