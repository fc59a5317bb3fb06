"""What the gateway journalled, as tables: calls, and what people said of them."""

import dagster as dg
import polars as pl

from loop_platform.defs.resources import LoopResource
from loop_platform.defs.telemetry.conversion import (
    CORRUPT,
    Conversion,
    Tally,
    count_and_keep_aside,
    nothing_more,
)
from loop_platform.defs.telemetry.parts import HeldHour, settle
from loop_platform.defs.telemetry.rows import call_rows, feedback_rows
from loop_platform.defs.telemetry.segment import Content
from loop_platform.partitions import hourly
from loop_platform.tables import schema


class HourConfig(dg.Config):
    """How an hour is materialised."""

    rebuild: bool = False
    """Convert every segment of the hour again, not only those that are new."""


def _calls_of(content: Content, hour: str, segment_id: str) -> pl.DataFrame:
    return call_rows(content.calls.get(hour, []), segment_id)


def _feedback_of(content: Content, hour: str, segment_id: str) -> pl.DataFrame:
    return feedback_rows(content.feedback.get(hour, []), segment_id)


_CALLS = Conversion("telemetry/calls", _calls_of, count_and_keep_aside)
_FEEDBACK = Conversion("telemetry/feedback", _feedback_of, nothing_more)


def columns(asset: str) -> dg.TableSchema:
    """The table's columns as the UI shows them."""
    return dg.TableSchema([dg.TableColumn(name, str(kind)) for name, kind in schema(asset).items()])


@dg.asset(
    partitions_def=hourly,
    key_prefix="telemetry",
    group_name="telemetry",
    kinds={"polars", "parquet"},
    owners=["team:loop"],
    metadata={"dagster/column_schema": columns("telemetry/calls")},
)
def calls(
    context: dg.AssetExecutionContext, config: HourConfig, loop: LoopResource
) -> dg.MaterializeResult[None]:
    """One row a call of this hour, whatever route it took, from the journal segments."""
    return _materialise(_CALLS, context.partition_key, config, loop)


@dg.asset(
    partitions_def=hourly,
    key_prefix="telemetry",
    group_name="telemetry",
    kinds={"polars", "parquet"},
    owners=["team:loop"],
    metadata={"dagster/column_schema": columns("telemetry/feedback")},
)
def feedback(
    context: dg.AssetExecutionContext, config: HourConfig, loop: LoopResource
) -> dg.MaterializeResult[None]:
    """The feedback and contributions that arrived in this hour, on calls of any hour."""
    return _materialise(_FEEDBACK, context.partition_key, config, loop)


def _materialise(
    conversion: Conversion, hour: str, config: HourConfig, loop: LoopResource
) -> dg.MaterializeResult[None]:
    with loop.database.begin() as connection:
        held = HeldHour(connection, loop.lake, conversion.asset, hour)
        tally = conversion.run(held, rebuild=config.rebuild)
        parts = held.parts()
        settle(connection, hour)
    return dg.MaterializeResult(
        metadata={
            **_counts(tally),
            "dagster/partition_row_count": sum(part.rows for part in parts),
            "files": len({part.path for part in parts if part.rows}),
            "dagster/uri": loop.lake.path(held.folder),
        }
    )


def _counts(tally: Tally) -> dict[str, str | int]:
    said = (
        f"saw {tally.segments + tally.converted_before} segments, converted {tally.segments}"
        f" into {tally.rows} rows, skipped {tally.converted_before} because they were converted"
        f" before; left out {tally.duplicates} rows that other segments had brought"
    )
    if tally.forgotten:
        said += f"; rebuilt: forgot {tally.forgotten} parts first"
    if tally.aside:
        said += f"; kept {tally.aside} unreadable lines aside in {CORRUPT}"
    return {
        "summary": said,
        "segments": tally.segments,
        "rows": tally.rows,
        "duplicates": tally.duplicates,
        "unreadable_lines": tally.aside,
        "merged_files": tally.merged_files,
    }
