"""What the sensors of a trial have in common: one run at a time, and not for ever."""

import dagster as dg
import sqlalchemy as sa

from loop_platform.automation import RELEASE_TAG, failed_runs_for, runs_in_flight
from loop_platform.defs.evaluation.decision import ask
from loop_platform.partitions import cycles
from loop_platform.release import requests
from loop_platform.release.registry import Release
from loop_platform.release.states import State

_ATTEMPTS = 3


def look(context: dg.SensorEvaluationContext, release: Release) -> dg.SensorResult | dg.SkipReason:
    """Run the sensor's target for a champion, unless it runs; what failed three times is left."""
    if runs_in_flight(context):
        return dg.SkipReason(f"release {release.release} is being looked at")
    if failed_runs_for(context, release.release) >= _ATTEMPTS:
        return dg.SkipReason(f"{_ATTEMPTS} runs failed: nobody looks at it any more")
    return _run(release)


def pursue(
    context: dg.SensorEvaluationContext, connection: sa.Connection, release: Release
) -> dg.SensorResult | dg.SkipReason:
    """Run the sensor's target for a release, unless it runs or its move is asked for already. What
    failed three times is turned away; a look that left the fronts open did not fail.
    """
    if runs_in_flight(context):
        return dg.SkipReason(f"release {release.release} is being judged")
    if requests.pending(connection, release.release):
        return dg.SkipReason(f"a move of release {release.release} is asked for")
    attempts = failed_runs_for(context, release.release)
    if attempts >= _ATTEMPTS:
        reason = f"{context.sensor_name}: {attempts} runs failed"
        asked = ask(
            connection,
            release.release,
            release.state,
            State.REJECTED,
            reason=reason,
            evidence={"runs": attempts},
        )
        return dg.SkipReason(f"{reason}; {asked}")
    return _run(release)


def _run(release: Release) -> dg.SensorResult:
    """The cycle of a drill was not opened by a sensor: Dagster may not know it yet."""
    assert release.cycle is not None, "only releases of a cycle are judged"
    return dg.SensorResult(
        [dg.RunRequest(partition_key=release.cycle, tags={RELEASE_TAG: release.release})],
        dynamic_partitions_requests=[cycles.build_add_request([release.cycle])],
    )
