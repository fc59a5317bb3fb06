"""When the champion shows its yardstick, and when a candidate is judged beside it."""

import dagster as dg

from loop_platform.automation import RELEASE_TAG
from loop_platform.defs.evaluation import mirrored, yardstick
from loop_platform.defs.evaluation.pursuit import pursue
from loop_platform.defs.resources import LoopResource
from loop_platform.judging import people
from loop_platform.release import registry, slots, trials
from loop_platform.release.states import State
from loop_platform.release.trials import Trial
from loop_platform.settings import settings


@dg.sensor(
    target=dg.AssetSelection.assets(["evaluation", "baseline"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def champion_changed(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.RunRequest | dg.SkipReason:
    """Has a new champion asked what its successors will be compared with, before one is there."""
    with loop.database.connect() as connection:
        champion = registry.champion(connection)
        slot = None if champion is None else slots.serving(connection, champion.release)
    if champion is None or slot is None or not slot.ready:
        return dg.SkipReason("no champion is on an engine")
    if yardstick.is_known(loop.lake, champion.release, loop.settings):
        return dg.SkipReason(f"champion {champion.release} has been asked")
    # One run a champion: what failed is asked for again by the evaluation itself.
    return dg.RunRequest(run_key=champion.release, tags={RELEASE_TAG: champion.release})


@dg.sensor(
    target=dg.AssetSelection.assets(["evaluation", "offline"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def candidate_ready(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Has a registered release evaluated as soon as an engine serves it."""
    with loop.database.begin() as connection:
        waiting = registry.in_states(connection, {State.REGISTERED})
        ready = {slot.release for slot in slots.read(connection).values() if slot.ready}
        for release in waiting:
            if release.release in ready and release.cycle is not None:
                return pursue(context, connection, release)
    return dg.SkipReason(f"{len(waiting)} releases are registered, none of them is on an engine")


@dg.sensor(
    target=dg.AssetSelection.assets(["evaluation", "shadow"]),
    minimum_interval_seconds=settings().dagster.sensor_interval_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def shadow_complete(
    context: dg.SensorEvaluationContext, loop: LoopResource
) -> dg.SensorResult | dg.SkipReason:
    """Has the shadow looked at when its first planned pairs are in telemetry, and then whenever a
    quarter more are, or people judged a quarter more, until it is settled.
    """
    with loop.database.begin() as connection:
        for release in registry.in_states(connection, {State.SHADOW}):
            trial = trials.find(connection, release.release, State.SHADOW)
            if release.cycle is None or trial is None or trial.verdict is not None:
                continue
            arrived = mirrored.count(connection, loop.lake, trial)
            if not _worth_a_look(trial, arrived, people.count(connection, release.release)):
                return dg.SkipReason(f"{arrived} of {trial.next_look} pairs are in telemetry")
            return pursue(context, connection, release)
    return dg.SkipReason("no release is in shadow without a verdict")


def _worth_a_look(trial: Trial, arrived: int, judged: int) -> bool:
    """Whether enough came since the last one: pairs, or people's verdicts on them."""
    if trial.looked_at < trial.budget and arrived >= trial.next_look:
        return True
    return trial.looked_at > 0 and judged >= trial.next_verdicts
