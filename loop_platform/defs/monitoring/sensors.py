"""Sees when enough calls came for another look at drift."""

from datetime import UTC, datetime

import dagster as dg
import sqlalchemy as sa

from loop_platform.automation import runs_in_flight
from loop_platform.database import call_counts
from loop_platform.defs.curation.due import in_training
from loop_platform.defs.monitoring.drift_report import drift_report
from loop_platform.defs.monitoring.windows import ASKED
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import current_hour
from loop_platform.settings import settings

_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dg.sensor(
    target=[drift_report],
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def drift_due(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """A report when a task got half a window of calls since the last one was asked for."""
    if unfinished := runs_in_flight(context):
        return dg.SkipReason(f"{unfinished} drift reports are not finished")
    monitoring = loop.settings.monitoring
    wanted = monitoring.drift_window // 2
    looked = datetime.fromisoformat(context.cursor) if context.cursor else _LONG_AGO
    waited = (datetime.now(UTC) - looked).total_seconds()
    if waited < monitoring.drift_interval_s:
        return dg.SkipReason(f"the last report looked at the calls of {waited:.0f} s ago")
    with loop.database.connect() as connection:
        if cycle := in_training(connection, loop.settings.training.timeout_s):
            return dg.SkipReason(f"cycle {cycle} is in training, on the same cores")
        counts, last = _since(connection, looked)
    most = max(counts.values(), default=0)
    if most < wanted or last is None:
        return dg.SkipReason(f"the busiest task got {most} new calls of the {wanted} for a report")
    return dg.SensorResult([dg.RunRequest(partition_key=current_hour())], cursor=last.isoformat())


def _since(connection: sa.Connection, looked: datetime) -> tuple[dict[str, int], datetime | None]:
    """Callers' calls by task that telemetry counted since, and when the last was."""
    counted = call_counts.c.counted_at
    query = (
        sa.select(call_counts.c.task, sa.func.sum(call_counts.c.calls), sa.func.max(counted))
        .where(call_counts.c.route.in_(ASKED), counted > looked)
        .group_by(call_counts.c.task)
    )
    rows = connection.execute(query).all()
    return {task: int(calls) for task, calls, _ in rows}, max((at for *_, at in rows), default=None)
