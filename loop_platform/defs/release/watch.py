"""The watch: what a new champion shows in the hour after its promotion, when everyone has it.

A canary meets a twentieth of the traffic for minutes. What only shows with more is looked at here,
in the fronts of the canary: objections and failed outcomes, answers declined, answers that come
late. The champion before it is what it is compared with, by its calls of as long a time before the
promotion. A front that is lost takes the champion back; nothing else is asked for. The hour is not
over when the calls that are looked at are all there: what people say of them comes later.

What is not covered: the two did not meet the same traffic at the same time, as the two groups of a
canary do. A product that changes with the promotion looks like a champion that is worse. The margin
is there for that, and a rollback does little harm: the one before was good enough until now.
"""

import dagster as dg

from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import NothingToCompareError, planned
from loop_platform.defs.evaluation.course import course, picture
from loop_platform.defs.evaluation.decision import ask
from loop_platform.defs.evaluation.evidence import progress, table
from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.exposure import watched
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release import registry, trials
from loop_platform.release.states import State

WATCH = dg.AssetKey(["release", "watch"])

_EVERY_HOUR = dg.AllPartitionMapping()


@dg.asset(
    key=WATCH,
    group_name="release",
    partitions_def=cycles,
    deps=[
        ["release", "canary"],
        dg.AssetDep(["telemetry", "calls"], partition_mapping=_EVERY_HOUR),
        dg.AssetDep(["telemetry", "feedback"], partition_mapping=_EVERY_HOUR),
        dg.AssetDep(["monitoring", "signals"], partition_mapping=_EVERY_HOUR),
    ],
    dagster_type=FRAME,
    check_specs=specs(WATCH, canary_gates.NAMES),
    kinds={"polars"},
    owners=["team:loop"],
)
def watch(context: dg.AssetExecutionContext, loop: LoopResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """The new champion's calls since its promotion against those of the champion before it."""
    limits = loop.settings.gates
    with loop.database.connect() as connection:
        release = registry.by_cycle(connection, context.partition_key)
        if release is None:
            raise NothingToCompareError(f"cycle {context.partition_key!r} has no release")
        trial = planned(connection, release.release, State.CHAMPION)
        seen = watched(connection, loop.lake, trial, limits.watch_s)
        over = trials.seconds_of(connection, trial) >= limits.watch_s
    calls = seen.canary.height
    found = canary_gates.fronts(seen, trial.fronts, limits.latency_budget_ms)
    known = canary_gates.readings(found)
    gates = canary_gates.judge(found, known)
    verdict, reason = canary_gates.verdict(gates, known)
    courses = {name: course(each.goal, each.after, each.candidates) for name, each in found.items()}
    evidence = {
        **progress(trial.champion, gates, known, calls),
        "courses": {name: list(each.moments) for name, each in courses.items()},
        "verdict": verdict,
        "reason": f"after its promotion: {reason}",
    }
    with loop.database.begin() as connection:
        asked = "nothing"
        if verdict == "failed":
            asked = ask(
                connection,
                trial.release,
                State.CHAMPION,
                State.ROLLED_BACK,
                reason=evidence["reason"],
                evidence=evidence,
            )
        if verdict == "failed" or over:
            trials.conclude(connection, trial.release, State.CHAMPION, verdict, evidence)
        else:
            trials.look(connection, trial.release, State.CHAMPION, evidence)
    return dg.MaterializeResult(
        value=seen.rows,
        metadata={
            "release": trial.release,
            "champion before": trial.champion,
            "calls judged": calls,
            "calls of the champion before": seen.champion.height,
            "verdict": verdict,
            "reason": reason,
            "asked for": asked,
            "scores": dg.MetadataValue.md(table(gates)),
            "fronts": dg.MetadataValue.json({name: str(each) for name, each in known.items()}),
            "picture": picture(courses),
            "dagster/row_count": seen.rows.height,
        },
        check_results=[check_result(found, final=verdict == "failed") for found in gates],
    )
