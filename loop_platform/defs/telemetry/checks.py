"""What must hold of an hour before anyone builds on it, and what is worth a warning."""

from collections.abc import Iterable

import dagster as dg

from loop_platform import manifest
from loop_platform.checks import hourly_check
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import hourly
from loop_platform.tables import KEYS


def _specs(asset: str) -> list[dg.AssetCheckSpec]:
    return [
        hourly_check(asset, "ids_are_of_the_hour", "The hour in each id is this.", blocking=True),
        hourly_check(asset, "no_id_is_there_twice", "Each row is there once.", blocking=True),
    ]


@dg.multi_asset_check(
    specs=[
        *_specs("telemetry/calls"),
        hourly_check(
            "telemetry/calls",
            "every_line_was_readable",
            "No journal line was kept aside: torn by a crash, corrupt, or of another schema.",
            blocking=False,
        ),
    ]
)
def calls_are_sound(
    context: dg.AssetCheckExecutionContext, loop: LoopResource
) -> Iterable[dg.AssetCheckResult]:
    """Checks of an hour of calls, in one reading."""
    yield from _sound("telemetry/calls", context.partition_key, loop)
    with loop.database.connect() as connection:
        parts = manifest.parts_of(connection, "telemetry/calls", context.partition_key)
    torn = {part.segment_id: part.corrupt for part in parts if part.corrupt}
    yield dg.AssetCheckResult(
        asset_key=dg.AssetKey(["telemetry", "calls"]),
        check_name="every_line_was_readable",
        passed=not torn,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"unreadable_lines": sum(torn.values()), "segments": sorted(torn)[:20]},
    )


@dg.multi_asset_check(specs=_specs("telemetry/feedback"))
def feedback_is_sound(
    context: dg.AssetCheckExecutionContext, loop: LoopResource
) -> Iterable[dg.AssetCheckResult]:
    """Checks of an hour of feedback, in one reading."""
    yield from _sound("telemetry/feedback", context.partition_key, loop)


def _sound(asset: str, hour: str, loop: LoopResource) -> Iterable[dg.AssetCheckResult]:
    key = KEYS[asset]
    with loop.database.connect() as connection:
        ids = manifest.rows(connection, loop.lake, asset, hours=[hour]).select(key).collect()[key]
    start = hourly.time_window_for_partition_key(hour).start.timestamp() * 1000
    begun = ids.str.replace_all("-", "").str.slice(0, 12).str.to_integer(base=16)
    strangers = int((~begun.is_between(start, start + 3_600_000, closed="left")).sum())
    twice = len(ids) - ids.n_unique()
    yield _result(asset, "ids_are_of_the_hour", len(ids), strangers)
    yield _result(asset, "no_id_is_there_twice", len(ids), twice)


def _result(asset: str, name: str, rows: int, wrong: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey.from_user_string(asset),
        check_name=name,
        passed=wrong == 0,
        metadata={"rows": rows, "wrong": wrong},
    )
