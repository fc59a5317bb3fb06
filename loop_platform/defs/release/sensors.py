"""When a canary is judged, and when a decision is recorded."""

from datetime import UTC, datetime

import dagster as dg
import sqlalchemy as sa

from loop_platform.database import moves, releases
from loop_platform.defs.evaluation.pursuit import look, pursue
from loop_platform.defs.release import exposure
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release import registry, trials
from loop_platform.release.states import SETTLED, State
from loop_platform.release.trials import Trial
from loop_platform.settings import settings

# A job has one kind of partitions: a decision is of a cycle, the metrics are of a day.
_DECISION = dg.define_asset_job("decision", dg.AssetSelection.assets(["release", "release"]))
_METRICS = dg.define_asset_job("metrics", dg.AssetSelection.assets(["ecosystem", "metrics"]))


@dg.sensor(
    target=dg.AssetSelection.assets(["release", "canary"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def canary_complete(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Has the canary looked at when its first planned calls are in telemetry, and then whenever a
    quarter more are, until it is settled.
    """
    with loop.database.begin() as connection:
        for release in registry.in_states(connection, {State.CANARY}):
            trial = trials.find(connection, release.release, State.CANARY)
            if release.cycle is None or trial is None or trial.verdict is not None:
                continue
            arrived = exposure.arrived(connection, loop.lake, trial)
            if arrived < trial.next_look:
                return dg.SkipReason(
                    f"{arrived} of {trial.next_look} canary calls are in telemetry"
                )
            return pursue(context, connection, release)
    return dg.SkipReason("no release is in canary without a verdict")


@dg.sensor(
    target=dg.AssetSelection.assets(["release", "watch"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def champion_watched(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Has a new champion looked at as its canary was, and a last time when its hour is over: people
    object to answers a while after they came.
    """
    watch_s = loop.settings.gates.watch_s
    with loop.database.begin() as connection:
        champion = registry.champion(connection)
        if champion is None or champion.cycle is None:
            return dg.SkipReason("no champion came out of a cycle")
        trial = trials.find(connection, champion.release, State.CHAMPION)
        if trial is None or trial.ended_at is not None:
            return dg.SkipReason(f"champion {champion.release} is not watched")
        arrived = exposure.arrived_since(connection, loop.lake, trial, watch_s)
        if trials.seconds_of(connection, trial) > watch_s:
            if arrived:
                return look(context, champion)
            return dg.SkipReason(_unseen(connection, trial))
        if arrived < trial.next_look or trial.looked_at >= trial.budget:
            return dg.SkipReason(f"{arrived} of {trial.next_look} calls are in telemetry")
        return look(context, champion)


def _unseen(connection: sa.Connection, trial: Trial) -> str:
    """End a watch in which nobody called."""
    reason = "no call came while it was watched"
    evidence = {"looked_at": 0, "reason": reason}
    trials.conclude(connection, trial.release, State.CHAMPION, "not known", evidence)
    return f"champion {trial.release}: {reason}"


@dg.sensor(
    jobs=[_DECISION, _METRICS],
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def release_decided(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Records the decision on a release and renews the day's metrics."""
    seen = int(context.cursor or 0)
    query = (
        sa.select(releases.c.cycle, sa.func.max(moves.c.move_id).label("move_id"))
        .join(releases, releases.c.release == moves.c.release)
        .where(
            moves.c.move_id > seen,
            moves.c.to_state.in_(SETTLED),
            releases.c.cycle.is_not(None),
        )
        .group_by(releases.c.cycle)
        .order_by(releases.c.cycle)
    )
    with loop.database.connect() as connection:
        decided = connection.execute(query).all()
    if not decided:
        return dg.SkipReason("no decision since the last tick")
    latest = max(row.move_id for row in decided)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    decisions = [
        dg.RunRequest(
            run_key=f"{row.cycle}:{row.move_id}", job_name="decision", partition_key=row.cycle
        )
        for row in decided
    ]
    metrics = dg.RunRequest(run_key=f"metrics:{latest}", job_name="metrics", partition_key=today)
    return dg.SensorResult(
        [*decisions, metrics],
        cursor=str(latest),
        dynamic_partitions_requests=[cycles.build_add_request([row.cycle for row in decided])],
    )
