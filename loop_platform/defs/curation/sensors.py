"""What opens a cycle: enough accepted corrections, drift, or a drill that is due."""

import dagster as dg
import sqlalchemy as sa

from loop_platform.automation import runs_in_flight, runs_within
from loop_platform.defs.curation import due
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.settings import TrainingSettings, settings

_ATTEMPTS = 2


@dg.sensor(
    target=dg.AssetSelection.assets(["curation", "corrections"], ["training", "adapter"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def cycle_due(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Opens a cycle and has it trained; tries once more what failed, then gives it up."""
    training = loop.settings.training
    with loop.database.begin() as connection:
        if due.paused(connection):
            return dg.SkipReason("the loop is paused: `loop resume` lets it go on")
        going_on = due.open_cycle(connection)
        if going_on is not None:
            return _pursue(context, connection, going_on, training)
        drilled = due.drill_due(connection) if training.drill else None
        if drilled is not None:
            return _run(due.open_drill(connection, drilled), 1, training)
        improvement = due.improvement_due(connection, loop.settings.curation)
        if not improvement.is_due:
            return dg.SkipReason(improvement.reason)
        return _run(due.open_improvement(connection, improvement.reason), 1, training)


def _pursue(
    context: dg.SensorEvaluationContext,
    connection: sa.Connection,
    cycle: str,
    training: TrainingSettings,
) -> dg.SensorResult | dg.SkipReason:
    if due.has_release(connection, cycle):
        return dg.SkipReason(f"cycle {cycle} is with the gates")
    if runs_in_flight(context):
        return dg.SkipReason(f"cycle {cycle} is being trained")
    tags = {"dagster/sensor_name": context.sensor_name, "dagster/partition": cycle}
    attempts = context.instance.get_runs_count(dg.RunsFilter(tags=tags))
    if attempts < _ATTEMPTS:
        return _run(cycle, attempts + 1, training)
    due.give_up(connection, cycle, attempts)
    return dg.SkipReason(f"cycle {cycle} is given up after {attempts} runs without a release")


def _run(cycle: str, attempt: int, training: TrainingSettings) -> dg.SensorResult:
    tags = runs_within(training.timeout_s)
    return dg.SensorResult(
        [dg.RunRequest(run_key=f"{cycle}:{attempt}", partition_key=cycle, tags=tags)],
        dynamic_partitions_requests=[cycles.build_add_request([cycle])],
    )
