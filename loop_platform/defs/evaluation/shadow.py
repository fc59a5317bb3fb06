"""The shadow: what a candidate shows on live calls that it answers unseen beside the champion."""

from collections.abc import Sequence

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation import shadow_gates as gate
from loop_platform.defs.evaluation.again import likeness
from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import Comparison, comparison, planned
from loop_platform.defs.evaluation.decision import conclude
from loop_platform.defs.evaluation.evidence import Gate, Score, evidence, table
from loop_platform.defs.evaluation.mirrored import pairs
from loop_platform.defs.evaluation.picture import picture
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release.states import State
from loop_platform.settings import Settings
from loop_platform.validators import validators

OFFLINE = dg.AssetKey(["evaluation", "offline"])
SHADOW = dg.AssetKey(["evaluation", "shadow"])


@dg.asset(
    key=SHADOW,
    group_name="evaluation",
    partitions_def=cycles,
    deps=[OFFLINE, dg.AssetDep(["telemetry", "calls"], partition_mapping=dg.AllPartitionMapping())],
    ins={"corrections": dg.AssetIn(["curation", "corrections"])},
    dagster_type=FRAME,
    check_specs=specs(SHADOW, gate.NAMES),
    kinds={"polars", "vllm"},
    owners=["team:loop"],
)
def shadow(
    context: dg.AssetExecutionContext, loop: LoopResource, corrections: pl.DataFrame
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name alone
    """Champion and candidate on the same live calls, judged once, after the planned number."""
    with loop.database.connect() as connection:
        both = comparison(connection, context.partition_key)
        trial = planned(connection, both.candidate.release, State.SHADOW)
        rows = pairs(connection, loop.lake, trial).head(trial.planned).collect()
    if rows.height < trial.planned:
        raise dg.Failure(
            f"{rows.height} of {trial.planned} planned pairs are in telemetry: nothing is judged"
            " before the last of them came"
        )
    scores = _scores(rows, both, loop.settings)
    gates = gate.judge(rows, scores, sorted(set(corrections["task"])), loop.settings.gates)
    asked_for = _conclude(loop, both, gates, gate.unknown(scores))
    return dg.MaterializeResult(
        value=rows.drop("request", "messages"),
        metadata={
            "release": both.candidate.release,
            "champion": both.champion.release,
            "pairs planned and judged": trial.planned,
            "asked for": asked_for,
            "scores": dg.MetadataValue.md(table(gates)),
            "picture": picture(list(scores.values())),
            "dagster/row_count": rows.height,
        },
        check_results=[check_result(found) for found in gates],
    )


def _scores(rows: pl.DataFrame, both: Comparison, settings: Settings) -> dict[str, Score]:
    known = validators(settings.validators)
    scores = {}
    for task in sorted(set(rows["task"])):
        of_task = rows.filter(pl.col("task") == task)
        if task in known:
            scores[task] = gate.by_validator(of_task, task, known[task], settings.gates)
        else:
            scores[task] = gate.by_likeness(task, likeness(of_task, both), settings.gates)
    return scores


def _conclude(
    loop: LoopResource, both: Comparison, gates: Sequence[Gate], unknown: Sequence[str]
) -> str:
    verdict, reason = gate.verdict(gates, unknown)
    automatic = loop.settings.gates.promotion == "automatic"
    waits = verdict == "not known" and not automatic
    if verdict == "not known" and automatic:
        reason += "; the settings promote without a person"
    shown = {**evidence(both.champion.release, gates), "not known": list(unknown)}
    with loop.database.begin() as connection:
        return conclude(
            connection,
            both.candidate.release,
            State.SHADOW,
            verdict,
            reason=reason,
            evidence={**shown, "verdict": verdict, "reason": reason},
            next_state=None if waits else State.CANARY,
        )
