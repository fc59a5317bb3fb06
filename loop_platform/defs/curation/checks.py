"""What the curated rows keep to, asked by Great Expectations before anything trains on them."""

import warnings
from collections.abc import Iterator

import dagster as dg
import polars as pl

from loop_platform.defs.curation.assets import CORRECTIONS
from loop_platform.defs.curation.expectations import Outcome, outcomes
from loop_platform.defs.curation.rules import ROWS, SET, Rule
from loop_platform.defs.curation.screen import limits, matrix, measured
from loop_platform.defs.curation.split import nearest_across
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import cycles

_SEVERITY = {
    "critical": dg.AssetCheckSeverity.ERROR,
    "warning": dg.AssetCheckSeverity.WARN,
}


def _spec(rule: Rule) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        # `partitions_def` of a check is in preview; without it one cycle's verdict would stand for
        # all of them.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            rule.name,
            asset=CORRECTIONS,
            description=f"Fails when {rule.reason}.",
            blocking=rule.severity == "critical",
            partitions_def=cycles,
        )


@dg.multi_asset_check(
    specs=[_spec(rule) for rule in (*ROWS, *SET)],
    ins={"corrections": dg.AssetIn(CORRECTIONS)},
)
def correction_rules(
    loop: LoopResource, corrections: pl.DataFrame
) -> Iterator[dg.AssetCheckResult]:
    """Every rule on the rows that enter: training and held-out."""
    entering = corrections.filter(~pl.col("split").is_in(["quarantine", "deferred"]))
    heldout = (entering["split"] == "heldout").to_numpy()
    rows = measured(entering, validators={}).with_columns(
        score=entering["score"],
        nearest_across=pl.Series(nearest_across(matrix(entering), heldout), dtype=pl.Float64),
    )
    bounds = limits(loop.settings.curation)
    for outcome in outcomes(rows, (*ROWS, *SET), bounds, "decision_id"):
        yield _result(outcome, rows.height)


def _result(outcome: Outcome, rows: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=outcome.rule.name,
        asset_key=CORRECTIONS,
        passed=outcome.passed,
        severity=_SEVERITY[outcome.rule.severity],
        description=outcome.error or (None if outcome.passed else outcome.rule.reason),
        metadata={
            "rows": rows,
            "rows that break it": len(outcome.broken_by),
            "decisions": outcome.broken_by[:20],
        },
    )
