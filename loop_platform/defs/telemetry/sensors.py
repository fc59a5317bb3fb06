"""Sees new segments in the manifest and materialises the hours that they touch."""

import time

import dagster as dg

from loop_platform.automation import runs_in_flight
from loop_platform.defs.curation.due import in_training
from loop_platform.defs.resources import LoopResource
from loop_platform.manifest import Pending, pending_hours, uncompacted_hours
from loop_platform.settings import settings

# More hours wait than this only after an outage: the newest come first, the rest next time.
_HOURS_A_TICK = 4
# A run that failed is asked for again, for the same segments, after this many seconds.
_PATIENCE_S = 300


@dg.sensor(
    target=dg.AssetSelection.assets(
        "telemetry/calls", "telemetry/feedback", "monitoring/signals", "review/candidates"
    ),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_segments(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """A run for each hour with segments that nobody converted, or that closed in many files."""
    if unfinished := runs_in_flight(context):
        return dg.SkipReason(f"{unfinished} runs of this sensor are not finished")
    with loop.database.connect() as connection:
        training = in_training(connection, loop.settings.training.timeout_s)
        waited = time.time() - float(context.cursor or 0)
        if training and waited < loop.settings.dagster.telemetry_in_training_s:
            return dg.SkipReason(
                f"cycle {training} is in training, on the same cores; the last run was asked for"
                f" {waited:.0f} s ago"
            )
        closed = dict.fromkeys(uncompacted_hours(connection), Pending(0, "compaction"))
        due = closed | pending_hours(connection)
    if not due:
        return dg.SkipReason("no segment is pending and no closed hour is in many files")
    chosen = sorted(due, reverse=True)[:_HOURS_A_TICK]
    return dg.SensorResult(
        [_request(hour, due[hour]) for hour in chosen], cursor=str(round(time.time()))
    )


def _request(hour: str, pending: Pending) -> dg.RunRequest:
    attempt = int(time.time() // _PATIENCE_S)
    key = f"{hour}/{pending.newest}/{pending.segments}/{attempt}"
    return dg.RunRequest(run_key=key, partition_key=hour)
