"""What must hold of an hour's signals before the review queue is filled from them."""

from collections.abc import Iterable

import dagster as dg

from loop_platform import manifest
from loop_platform.checks import hourly_check
from loop_platform.defs.resources import LoopResource


@dg.multi_asset_check(
    specs=[
        hourly_check(
            "monitoring/signals",
            "every_call_is_observed",
            "As many rows as calls, segment by segment.",
            blocking=True,
        )
    ]
)
def signals_are_whole(
    context: dg.AssetCheckExecutionContext, loop: LoopResource
) -> Iterable[dg.AssetCheckResult]:
    """Compares the manifest's counts; no file is opened."""
    hour = context.partition_key
    with loop.database.connect() as connection:
        called = manifest.parts_of(connection, "telemetry/calls", hour)
        made = manifest.parts_of(connection, "monitoring/signals", hour)
    observed = {part.segment_id: part.rows for part in made}
    missing = [part.segment_id for part in called if observed.get(part.segment_id) != part.rows]
    yield dg.AssetCheckResult(
        passed=not missing,
        metadata={"segments": len(called), "not_observed": missing[:20]},
    )
