"""The canary: a candidate with a few per cent of the people, beside the champion with the rest.

It is looked at again and again, until every front holds, one is lost, or its budget is spent.
"""

import dagster as dg

from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import comparison, planned
from loop_platform.defs.evaluation.course import course, picture
from loop_platform.defs.evaluation.decision import settle
from loop_platform.defs.evaluation.evidence import progress, table
from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.exposure import exposure
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release.approval import required, tasks_met
from loop_platform.release.states import State

SHADOW = dg.AssetKey(["evaluation", "shadow"])
CANARY = dg.AssetKey(["release", "canary"])

_EVERY_HOUR = dg.AllPartitionMapping()


@dg.asset(
    key=CANARY,
    group_name="release",
    partitions_def=cycles,
    deps=[
        SHADOW,
        dg.AssetDep(["telemetry", "calls"], partition_mapping=_EVERY_HOUR),
        dg.AssetDep(["telemetry", "feedback"], partition_mapping=_EVERY_HOUR),
        dg.AssetDep(["monitoring", "signals"], partition_mapping=_EVERY_HOUR),
    ],
    dagster_type=FRAME,
    check_specs=specs(CANARY, canary_gates.NAMES),
    kinds={"polars"},
    owners=["team:loop"],
)
def canary(context: dg.AssetExecutionContext, loop: LoopResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """The candidate's live calls against the champion's of the same period."""
    limits = loop.settings.gates
    with loop.database.connect() as connection:
        both = comparison(connection, context.partition_key)
        trial = planned(connection, both.candidate.release, State.CANARY)
        seen = exposure(connection, loop.lake, trial)
    calls = seen.canary.height
    if calls < trial.planned:
        raise dg.Failure(
            f"{calls} of {trial.planned} planned canary calls are in telemetry: nothing is judged"
            " before the last of them came"
        )
    found = canary_gates.fronts(seen, trial.fronts, limits.latency_budget_ms)
    known = canary_gates.readings(found)
    gates = canary_gates.judge(found, known)
    verdict, reason = canary_gates.verdict(gates, known)
    courses = {name: course(each.goal, each.after, each.candidates) for name, each in found.items()}
    with loop.database.begin() as connection:
        tasks = sorted({*tasks_met(connection, trial.release), *seen.rows["task"]})
        settled = settle(
            connection,
            trial,
            verdict,
            reason,
            {
                **progress(trial.champion, gates, known, calls),
                "tasks": tasks,
                "courses": {name: list(each.moments) for name, each in courses.items()},
            },
            then=State.CHAMPION,
            approval=required(limits, tasks),
        )
    return dg.MaterializeResult(
        value=seen.rows,
        metadata={
            "release": trial.release,
            "champion": trial.champion,
            "canary calls judged": calls,
            "canary calls at least": trial.planned,
            "canary calls at most": trial.budget,
            "champion calls beside them": seen.champion.height,
            "verdict": verdict,
            "reason": reason,
            "asked for": settled.asked_for,
            "scores": dg.MetadataValue.md(table(gates)),
            "fronts": dg.MetadataValue.json({name: str(each) for name, each in known.items()}),
            "picture": picture(courses),
            "dagster/row_count": seen.rows.height,
        },
        check_results=[check_result(found, final=settled.refused) for found in gates],
    )
