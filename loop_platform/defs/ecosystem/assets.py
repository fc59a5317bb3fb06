"""The loop as a whole: how fast it turns, what it gains, what it costs."""

import dagster as dg
import polars as pl

from loop_platform.defs.ecosystem import day as days
from loop_platform.defs.ecosystem.picture import stages
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import daily
from loop_platform.turns import turns


@dg.asset(
    key_prefix="ecosystem",
    group_name="ecosystem",
    partitions_def=daily,
    deps=[
        dg.AssetKey(["telemetry", "calls"]),
        dg.AssetKey(["telemetry", "feedback"]),
        dg.AssetDep(["release", "release"], partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"polars", "postgres"},
    owners=["team:loop"],
)
def metrics(
    context: dg.AssetExecutionContext, loop: LoopResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """A day in numbers: from correction to production, contributions, success, cost, price."""
    day, hourly_cost = context.partition_key, loop.settings.engine.cost_per_hour
    with loop.database.connect() as connection:
        made = turns(connection)
        rows = [
            *days.traffic(connection, loop.lake, day, hourly_cost),
            *days.people(connection, day),
            *days.promotions(connection, day),
            *days.improvements(made, day, hourly_cost),
        ]
    frame = pl.DataFrame([(day, *row) for row in rows], schema=days.COLUMNS, orient="row")
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": frame.height,
            "metrics": dg.MetadataValue.md(_table(frame)),
            "where the time of a cycle goes": stages(made),
        },
    )


def _table(frame: pl.DataFrame) -> str:
    lines = ["| about | metric | value | n |", "| --- | --- | ---: | ---: |"]
    for _, about, metric, value, n in frame.iter_rows():
        shown = "–" if value is None else f"{value:,.4g}"
        lines.append(f"| {about} | {metric} | {shown} | {n:,} |")
    return "\n".join(lines)
