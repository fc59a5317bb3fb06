"""The corrections of a cycle: screened, capped, split."""

from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import sqlalchemy as sa

from loop_platform import arrivals, lessons
from loop_platform.database import cycle_corrections
from loop_platform.database import cycles as cycles_table
from loop_platform.defs.curation.accepted import accepted, trained_before
from loop_platform.defs.curation.modes import by_split
from loop_platform.defs.curation.screen import curated
from loop_platform.defs.curation.split import Trained
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.settings import Settings
from loop_platform.validators import validators

CORRECTIONS = dg.AssetKey(["curation", "corrections"])

SPLITS = ("train", "heldout", "quarantine", "deferred")


@dg.asset(
    key=CORRECTIONS,
    group_name="curation",
    partitions_def=cycles,
    deps=[
        dg.AssetDep(["review", "candidates"], partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"polars", "postgres", "greatexpectations"},
    owners=["team:loop"],
)
def corrections(
    context: dg.AssetExecutionContext, loop: LoopResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """What people corrected: to train on, to test on, and, with the reason, what to keep out."""
    cycle = context.partition_key
    with loop.database.connect() as connection:
        kind, borrowed = connection.execute(
            sa.select(cycles_table.c.kind, cycles_table.c.drill_of).where(
                cycles_table.c.cycle == cycle
            )
        ).one()
        rows = accepted(connection, cycle)
        trained = _trained(connection, loop.settings, cycle)
    if borrowed is not None:
        frame = loop.lake.read(f"curation/corrections/{borrowed}.parquet")
    else:
        known = validators(loop.settings.validators)
        frame = curated(rows, loop.settings.curation, known, trained)
    with loop.database.begin() as connection:
        # What came from elsewhere learnt none of these rows by being tested on them.
        learnt = frame.filter(pl.col("split") == "heldout") if kind == arrivals.KIND else frame
        _record(connection, cycle, learnt)
    return dg.MaterializeResult(value=frame, metadata=_metadata(frame, borrowed))


def _trained(connection: sa.Connection, settings: Settings, cycle: str) -> Trained:
    """What earlier cycles trained on: the corrections that they took, and all that their trainers
    read."""
    corrections = trained_before(connection, cycle)
    read = [lessons.read(settings.data_dir, past) for past in lessons.before(connection, cycle)]
    return Trained(
        np.asarray([embedding for _, embedding in corrections], dtype=np.float32),
        {question for question, _ in corrections}
        | {line.question for each in read for line in each.lines},
    )


def _record(connection: sa.Connection, cycle: str, frame: pl.DataFrame) -> None:
    """The lineage, in place of what an earlier run of this cycle recorded."""
    connection.execute(sa.delete(cycle_corrections).where(cycle_corrections.c.cycle == cycle))
    lineage = frame.select("decision_id", "feedback_id", "contributor", "split", "reason")
    rows = lineage.with_columns(cycle=pl.lit(cycle)).to_dicts()
    if rows:
        connection.execute(sa.insert(cycle_corrections), rows)


def _metadata(frame: pl.DataFrame, borrowed: str | None) -> dict[str, Any]:
    counts = {split: frame.filter(pl.col("split") == split).height for split in SPLITS}
    reasons = frame.drop_nulls("reason").group_by("split", "reason").len().sort("split", "reason")
    return {
        "dagster/row_count": frame.height,
        **counts,
        "contributors": frame["contributor"].n_unique(),
        "rows of": f"cycle {borrowed}" if borrowed else "this cycle",
        "why kept out": dg.MetadataValue.md(_table(reasons)),
        "failure modes": dg.MetadataValue.md(_table(_modes(frame))),
    }


def _modes(frame: pl.DataFrame) -> pl.DataFrame:
    """A row a mode, what matters most first; quarantined corrections count in none."""
    rows = [
        {
            "mode": mode.name,
            "cluster": mode.cluster,
            "severity": "–" if mode.severity is None else f"{mode.severity:.2f}",
            "size": mode.size,
            **{split: counts[split] for split in SPLITS if split != "quarantine"},
            "examples (decisions)": ", ".join(mode.examples),
        }
        for mode, counts in by_split(frame)
    ]
    return pl.DataFrame(rows)


def _table(frame: pl.DataFrame) -> str:
    """As Markdown; counts, ids and names alone, never what people wrote."""
    head = f"| {' | '.join(frame.columns)} |\n|{' --- |' * frame.width}\n"
    return head + "\n".join(f"| {' | '.join(map(str, row))} |" for row in frame.iter_rows())
