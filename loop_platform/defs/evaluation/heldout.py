"""The corrections that were held out: of this cycle, and of those that shipped before."""

import json

import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycles, releases
from loop_platform.defs.evaluation.scoring import Correction
from loop_platform.lake import Lake
from loop_platform.release.states import State
from loop_platform.resemblance import Collection

_SHIPPED = (State.CHAMPION, State.RETIRED)


def held_out(corrections: pl.DataFrame) -> list[Correction]:
    """All held-out rows of a cycle, by their id."""
    rows = corrections.filter(pl.col("split") == "heldout").sort("decision_id")
    return [
        Correction(
            decision_id=row["decision_id"],
            task=row["task"],
            messages=json.loads(row["messages"]),
            chosen=row["chosen"],
            mode=row["cluster"],
        )
        for row in rows.iter_rows(named=True)
    ]


def some(rows: list[Correction], limit: int) -> list[Correction]:
    """At most `limit` of the rows, always the same ones."""
    if len(rows) <= limit:
        return rows
    chosen = pl.Series(range(len(rows))).sample(limit, seed=17).sort()
    return [rows[at] for at in chosen]


def held_out_before(
    connection: sa.Connection, lake: Lake, cycle: str, limit: int, studied: Collection
) -> list[Correction]:
    """What earlier cycles held out whose release serves or served, evenly over them.

    People correct the same again: what was `studied` since, or nearly, is no test any more.
    """
    this = connection.execute(
        sa.select(cycles.c.opened_at, cycles.c.drill_of).where(cycles.c.cycle == cycle)
    ).one()
    earlier = connection.scalars(
        sa.select(cycles.c.cycle)
        .join(releases, releases.c.cycle == cycles.c.cycle)
        .where(
            cycles.c.kind == "improvement",
            cycles.c.opened_at < this.opened_at,
            cycles.c.cycle.is_distinct_from(this.drill_of),
            releases.c.state.in_(_SHIPPED),
        )
        .distinct()
        .order_by(cycles.c.cycle)
    ).all()
    found: list[Correction] = []
    for past in earlier:
        path = f"curation/corrections/{past}.parquet"
        if lake.exists(path):
            unseen = [row for row in held_out(lake.read(path)) if not studied.near(row.question)]
            found += some(unseen, max(1, limit // len(earlier)))
    return found
