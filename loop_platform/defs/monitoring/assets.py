"""What each call looked like, and how the calls of now differ from those of before."""

from collections import Counter

import dagster as dg
import msgspec
import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import parts
from loop_platform.defs.monitoring.observation import Reference, observe
from loop_platform.defs.resources import LoopResource
from loop_platform.defs.telemetry.assets import HourConfig, columns
from loop_platform.defs.telemetry.parts import HeldHour, settle
from loop_platform.embedder import embedder
from loop_platform.partitions import hourly
from loop_platform.tables import schema

_SIGNALS = "monitoring/signals"


@dg.asset(
    key=_SIGNALS.split("/"),
    partitions_def=hourly,
    deps=[dg.AssetKey(["telemetry", "calls"])],
    group_name="monitoring",
    kinds={"polars", "parquet", "onnx"},
    owners=["team:loop"],
    metadata={"dagster/column_schema": columns(_SIGNALS)},
)
def signals(
    context: dg.AssetExecutionContext, config: HourConfig, loop: LoopResource
) -> dg.MaterializeResult[None]:
    """Every signal of every call of this hour, its prompt's embedding, and flags with reasons."""
    with loop.database.begin() as connection:
        hour = HeldHour(connection, loop.lake, _SIGNALS, context.partition_key)
        if config.rebuild:
            hour.forget()
        before = len(hour.parts())
        made = _observe_pending(hour, loop)
        merged = hour.compact()
        settle(connection, hour.hour)
    return dg.MaterializeResult(
        metadata={
            "summary": _summary(made, before),
            "calls": made.height,
            "embedded": made.height - made["embedding"].null_count(),
            "flagged": made.filter(pl.col("flags") != "[]").height,
            "flags": dg.MetadataValue.json(_flag_counts(made)),
            "merged_files": merged,
            "dagster/uri": loop.lake.path(hour.folder),
        },
    )


def _observe_pending(hour: HeldHour, loop: LoopResource) -> pl.DataFrame:
    """One part a segment; its calls are read from wherever compaction has put them."""
    called = manifest.parts_of(hour.connection, "telemetry/calls", hour.hour)
    rows = {part.segment_id: part.rows for part in called}
    pending = [s.segment_id for s in hour.pending() if s.segment_id in rows]
    calls = _calls(hour, [segment_id for segment_id in pending if rows[segment_id]])
    made = [pl.DataFrame(schema=schema(_SIGNALS))]
    known = _latest(hour, 2 * loop.settings.monitoring.novelty_reference) if pending else made[0]
    for segment_id in pending:
        own = calls.filter(pl.col("segment_id") == segment_id)
        frame = _observe(own, pl.concat([known, *made]), loop)
        hour.write_part(segment_id, frame)
        made.append(frame)
    return pl.concat(made)


def _observe(calls: pl.DataFrame, known: pl.DataFrame, loop: LoopResource) -> pl.DataFrame:
    if calls.is_empty():
        return pl.DataFrame(schema=schema(_SIGNALS))
    monitoring = loop.settings.monitoring
    reference = Reference.of(known, monitoring.novelty_reference)
    model = embedder(loop.settings.models.embedder)
    return observe(calls, reference, model, monitoring.embedded_share)


def _calls(hour: HeldHour, segment_ids: list[str]) -> pl.DataFrame:
    return (
        manifest.calls(hour.connection, hour.lake, hours=[hour.hour])
        .filter(pl.col("segment_id").is_in(segment_ids))
        .drop("response")
        .collect()
    )


def _latest(hour: HeldHour, rows: int) -> pl.DataFrame:
    """The latest signals up to this hour, of as many hours as hold that many rows."""
    query = (
        sa.select(parts.c.hour, sa.func.sum(parts.c.rows))
        .where(parts.c.asset == _SIGNALS, parts.c.hour <= hour.hour, parts.c.rows > 0)
        .group_by(parts.c.hour)
        .order_by(parts.c.hour.desc())
        .limit(48)
    )
    hours: list[str] = []
    for name, count in hour.connection.execute(query):
        if rows <= 0:
            break
        hours.append(name)
        rows -= int(count)
    return manifest.signals(hour.connection, hour.lake, hours=hours).collect()


def _summary(made: pl.DataFrame, before: int) -> str:
    embedded = made.height - made["embedding"].null_count()
    return (
        f"saw {made['segment_id'].n_unique()} new segments with {made.height} calls, embedded"
        f" {embedded}, left {made.height - embedded} out because of the embedded share;"
        f" skipped {before} segments because they were observed before"
    )


def _flag_counts(made: pl.DataFrame) -> dict[str, int]:
    raised = [flag["signal"] for flags in made["flags"] for flag in msgspec.json.decode(flags)]
    return dict(Counter(raised).most_common())
