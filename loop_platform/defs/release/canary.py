"""The canary: a candidate with a few per cent of the people, beside the champion with the rest."""

from collections.abc import Sequence

import dagster as dg

from loop_platform.defs.evaluation.checks import FRAME, check_result, specs
from loop_platform.defs.evaluation.comparison import comparison, planned
from loop_platform.defs.evaluation.decision import conclude
from loop_platform.defs.evaluation.evidence import Gate, evidence, refusals, table
from loop_platform.defs.evaluation.picture import picture
from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.exposure import exposure
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles
from loop_platform.release.states import State
from loop_platform.release.trials import Trial

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
    """The candidate's first live calls against the champion's of the same period."""
    with loop.database.connect() as connection:
        both = comparison(connection, context.partition_key)
        trial = planned(connection, both.candidate.release, State.CANARY)
        seen = exposure(connection, loop.lake, trial)
    if seen.canary.height < trial.planned:
        raise dg.Failure(
            f"{seen.canary.height} of {trial.planned} planned canary calls are in telemetry:"
            " nothing is judged before the last of them came"
        )
    gates = canary_gates.judge(seen, loop.settings.gates)
    asked_for = _conclude(loop, trial, gates)
    return dg.MaterializeResult(
        value=seen.rows,
        metadata={
            "release": trial.release,
            "champion": trial.champion,
            "canary calls planned and judged": trial.planned,
            "champion calls beside them": seen.champion.height,
            "asked for": asked_for,
            "scores": dg.MetadataValue.md(table(gates)),
            "picture": picture([score for found in gates for score in found.scores]),
            "dagster/row_count": seen.rows.height,
        },
        check_results=[check_result(found) for found in gates],
    )


def _conclude(loop: LoopResource, trial: Trial, gates: Sequence[Gate]) -> str:
    passed = all(found.passed for found in gates)
    automatic = loop.settings.gates.promotion == "automatic"
    reason = "nothing got worse in its canary" if passed else refusals(gates)
    with loop.database.begin() as connection:
        return conclude(
            connection,
            trial.release,
            State.CANARY,
            "passed" if passed else "failed",
            reason=reason,
            evidence=evidence(trial.champion, gates),
            next_state=State.CHAMPION if automatic else None,
        )
