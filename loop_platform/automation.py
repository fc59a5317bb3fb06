"""What starts runs: one condition for assets, and what every sensor needs to know."""

import math

import dagster as dg

# `eager` alone passes over failed blocking checks of upstream runs.
when_clean = (
    dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
).with_label("when_clean")

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def runs_in_flight(context: dg.SensorEvaluationContext) -> int:
    """How many runs that this sensor asked for are not finished."""
    tags = {"dagster/sensor_name": context.sensor_name}
    return context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=_UNFINISHED))


def runs_within(seconds: float) -> dict[str, str]:
    """Tags of a run that Dagster ends when it takes longer."""
    return {dg.MAX_RUNTIME_SECONDS_TAG: str(math.ceil(seconds))}


RELEASE_TAG = "loop/release"


def failed_runs_for(context: dg.SensorEvaluationContext, release: str) -> int:
    """How many runs that this sensor asked for for one release ended without success."""
    tags = {"dagster/sensor_name": context.sensor_name, RELEASE_TAG: release}
    failed = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=failed))
