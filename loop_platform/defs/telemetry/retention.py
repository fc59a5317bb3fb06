"""What is old and nobody labelled goes, once a day."""

import dagster as dg

from loop_platform.defs.resources import LoopResource
from loop_platform.retention.expiry import Expiry


@dg.asset(
    key=["telemetry", "expired"],
    group_name="telemetry",
    kinds={"polars", "parquet"},
    owners=["team:loop"],
    deps=[
        dg.AssetDep(["telemetry", "calls"], partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(["telemetry", "feedback"], partition_mapping=dg.AllPartitionMapping()),
    ],
)
def expired(context: dg.AssetExecutionContext, loop: LoopResource) -> dg.MaterializeResult[None]:
    """What a run deleted of calls that are older than their tenant's time to live, and what of
    those it spared, because people labelled them."""
    found = Expiry(loop.database, loop.lake, loop.settings.retention).run()
    removed = found.removed
    return dg.MaterializeResult(
        metadata={
            "summary": "; ".join(found.told()),
            "calls deleted": removed.calls,
            "calls deleted by tenant": dg.MetadataValue.json(removed.calls_by_tenant),
            "calls spared: labelled": found.labelled,
            "hours left: telemetry has not taken up all of them": len(found.waiting),
            "journal lines deleted": removed.lines,
            "journal bytes deleted": removed.bytes,
            "journal segments deleted": removed.segments,
            "files gone": found.swept,
        }
    )


@dg.schedule(
    target=[expired],
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_expiry(
    context: dg.ScheduleEvaluationContext, loop: LoopResource
) -> dg.RunRequest | dg.SkipReason:
    """A run a day, where the settings give any call a time to live."""
    if loop.settings.retention.shortest is None:
        return dg.SkipReason("every call is kept: the setting retention.days says otherwise")
    return dg.RunRequest()
