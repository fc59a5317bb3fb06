"""Corrections that the trainer refused."""

import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycle_corrections
from loop_platform.defs.curation import due
from loop_platform.defs.training.refused import set_aside, table
from loop_platform_tests.curation.accepting import accepted, crowd

_LONG = {"file": "corrections.jsonl", "line": 2, "reason": "3000 tokens; at most 2048 are served"}
_OTHER = {"file": "replay.jsonl", "line": 1, "reason": "an empty answer"}


def test_a_refused_correction_goes_to_quarantine_with_the_reason(database: sa.Engine) -> None:
    ids = accepted(database, *crowd(3))
    with database.begin() as connection:
        cycle = due.open_improvement(connection, "for the test")
        rows = [
            {"cycle": cycle, "decision_id": one, "contributor": "a", "split": "train"}
            for one in ids
        ]
        connection.execute(sa.insert(cycle_corrections), rows)
        set_aside(connection, cycle, pl.DataFrame({"decision_id": ids}), [_LONG, _OTHER])
        query = sa.select(
            cycle_corrections.c.decision_id, cycle_corrections.c.split, cycle_corrections.c.reason
        )
        found = {row.decision_id: (row.split, row.reason) for row in connection.execute(query)}

    why = "it could not be trained on: 3000 tokens; at most 2048 are served"
    assert found == {
        ids[0]: ("train", None),
        ids[1]: ("quarantine", why),
        ids[2]: ("train", None),
    }


def test_the_refused_rows_are_shown_by_name() -> None:
    assert table([_LONG]).splitlines()[-1] == (
        "| corrections.jsonl | 2 | 3000 tokens; at most 2048 are served |"
    )
