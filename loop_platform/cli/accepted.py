"""Every accepted correction, with where it came from and what became of it."""

import json
from collections.abc import Iterator

import sqlalchemy as sa

# A person's last word on an item counts.
_ACCEPTED = sa.text("""
    WITH last AS (
        SELECT DISTINCT ON (item_id) * FROM decisions WHERE verdict <> 'skip'
        ORDER BY item_id, decided_at DESC, decision_id DESC
    )
    SELECT last.decision_id, last.reviewer, last.verdict, last.decided_at, last.note,
           item.item_id, item.call_id, item.release, item.tenant, item.task, item.cluster,
           item.messages, last.chosen, item.answer AS rejected,
           item.proposed_in AS feedback_id, item.proposed_by AS contributor, item.feedback,
           (SELECT coalesce(jsonb_agg(jsonb_build_object(
                        'cycle', used.cycle, 'split', used.split, 'reason', used.reason,
                        'release', releases.release, 'release_state', releases.state)
                    ORDER BY used.cycle), '[]'::jsonb)
              FROM cycle_corrections AS used LEFT JOIN releases USING (cycle)
             WHERE used.decision_id = last.decision_id) AS cycles
    FROM last JOIN review_items AS item USING (item_id)
    WHERE last.verdict IN ('accept', 'correct')
    ORDER BY last.decided_at, last.decision_id
""")


def accepted_corrections(connection: sa.Connection) -> Iterator[str]:
    """A line of JSON each, oldest first."""
    for row in connection.execute(_ACCEPTED).mappings():
        yield json.dumps({**row, "decided_at": row["decided_at"].isoformat()}, ensure_ascii=False)
