"""The shadow: what a candidate shows on live calls that it answers unseen beside the champion.

It is looked at again and again, until every front is won or held, one is lost, or the budget of
pairs is spent. A look judges the pairs that came since the one before it, and counts them all.
"""

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation import shadow_gates as gate
from loop_platform.defs.evaluation.again import MOST, with_likeness
from loop_platform.defs.evaluation.bench import Bench
from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import Comparison, comparison, planned
from loop_platform.defs.evaluation.course import course, picture
from loop_platform.defs.evaluation.decision import settle
from loop_platform.defs.evaluation.evidence import progress, table
from loop_platform.defs.evaluation.mirrored import pairs
from loop_platform.defs.evaluation.outcomes import with_outcomes
from loop_platform.defs.evaluation.shadow_fronts import fronts, readings, undecided
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release.approval import required
from loop_platform.release.states import State
from loop_platform.validators import validators

OFFLINE = dg.AssetKey(["evaluation", "offline"])
SHADOW = dg.AssetKey(["evaluation", "shadow"])

# What people asked stays in telemetry.
_ASKED = ("request", "messages")


@dg.asset(
    key=SHADOW,
    group_name="evaluation",
    partitions_def=cycles,
    deps=[
        OFFLINE,
        dg.AssetDep(["evaluation", "judges"]),
        dg.AssetDep(["telemetry", "calls"], partition_mapping=dg.AllPartitionMapping()),
    ],
    ins={"corrections": dg.AssetIn(["curation", "corrections"])},
    dagster_type=FRAME,
    check_specs=specs(SHADOW, gate.NAMES),
    kinds={"polars", "vllm"},
    owners=["team:loop"],
)
def shadow(
    context: dg.AssetExecutionContext, loop: LoopResource, corrections: pl.DataFrame
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """Champion and candidate on the same live calls: what is known of each front so far."""
    with loop.database.connect() as connection:
        both = comparison(connection, context.partition_key)
        trial = planned(connection, both.candidate.release, State.SHADOW)
        rows = pairs(connection, loop.lake, trial).head(trial.budget).collect()
        bench = Bench.of(
            connection, loop.settings.judging, trial.release, rows["pair_id"].to_list()
        )
    if rows.height < trial.planned:
        raise dg.Failure(
            f"{rows.height} of {trial.planned} planned pairs are in telemetry: nothing is judged"
            " before the last of them came"
        )
    outcomes = bench.with_verdicts(_outcomes(loop, both, rows), rows)
    counting = bench.in_force(outcomes)
    judged = bench.judged(counting)
    focus = sorted(set(corrections["task"]))
    found = fronts(counting, focus, trial.fronts, judged)
    known = readings(found)
    gates = gate.judge(counting, known, focus, judged)
    verdict, reason = gate.verdict(gates, known)
    remarks = bench.remarks(counting) if verdict == "not known" else []
    open_tasks = undecided(known, judged, focus)
    waiting = bench.waiting(counting, open_tasks)
    courses = {
        name: course(each.goal, each.after, len(each.values)) for name, each in found.items()
    }
    tasks = sorted({*focus, *outcomes["task"]})
    with loop.database.begin() as connection:
        settled = settle(
            connection,
            trial,
            verdict,
            "; ".join([reason, *remarks]),
            {
                **progress(both.champion.release, gates, known, rows.height),
                "judging": bench.record(counting),
                "people": {
                    "said": len(bench.said),
                    "waiting": waiting,
                    "tasks": open_tasks,
                    "judges": bench.in_use,
                },
                "tasks": tasks,
                "courses": {name: list(each.moments) for name, each in courses.items()},
            },
            then=State.CANARY,
            approval=required(loop.settings.gates, tasks),
            waits_for_people=waiting > 0,
        )
    return dg.MaterializeResult(
        value=outcomes,
        metadata={
            "release": both.candidate.release,
            "champion": both.champion.release,
            "pairs": rows.height,
            "pairs at least": trial.planned,
            "pairs at most": trial.budget,
            "verdict": verdict,
            "reason": "; ".join([reason, *remarks]),
            "judging": dg.MetadataValue.json(bench.record(counting)),
            "asked for": settled.asked_for,
            "scores": dg.MetadataValue.md(table(gates)),
            "fronts": dg.MetadataValue.json({name: str(each) for name, each in known.items()}),
            "picture": picture(courses),
            "dagster/row_count": rows.height,
        },
        check_results=[check_result(found, final=settled.refused) for found in gates],
    )


def _outcomes(loop: LoopResource, both: Comparison, rows: pl.DataFrame) -> pl.DataFrame:
    """A row a pair. What an earlier look found stands; only the other pairs are judged."""
    known = validators(loop.settings.validators)
    path = f"{'/'.join(SHADOW.path)}/{both.candidate.cycle}.parquet"
    kept = loop.lake.read(path) if loop.lake.exists(path) else rows.clear()
    # A cycle that was trained again has pairs of another release in its file.
    seen = kept.filter(pl.col("pair_id").is_in(rows["pair_id"].to_list()))
    fresh = with_outcomes(rows.filter(~pl.col("pair_id").is_in(seen["pair_id"].to_list())), known)
    for task in sorted(set(fresh["task"]) - known.keys() - loop.settings.judging.tasks.keys()):
        compared = 0 if seen.is_empty() else seen.filter(task=task)["alike"].count()
        if compared < MOST:
            fresh = with_likeness(fresh, task, MOST - compared, both)
    fresh = fresh.drop(_ASKED)
    # What was kept before a column was added reads as null there.
    both_looks = [seen, fresh] if not seen.is_empty() else [fresh]
    return pl.concat(both_looks, how="diagonal").sort("pair_id")
