"""Great Expectations on Polars frames: rules in, what broke them out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from loop_platform.defs.curation.rules import Limits, Rule


@dataclass(frozen=True)
class Outcome:
    """What a rule found. Ids, never texts: these are people's prompts."""

    rule: Rule
    passed: bool
    broken_by: list[str]
    error: str | None


def outcomes(frame: pl.DataFrame, rules: Sequence[Rule], limits: Limits, key: str) -> list[Outcome]:
    """Every rule's outcome on `frame`, whose rows `key` names."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import great_expectations.expectations as gxe

    # A fresh context for each validation: one that is reused knows the frame's name already.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    suite = gx.ExpectationSuite(
        "corrections", expectations=[_expectation(rule, gxe, limits) for rule in rules]
    )
    batch = (
        context.data_sources.add_pandas("frame")
        .add_dataframe_asset("frame")
        .add_batch_definition_whole_dataframe("frame")
        .get_batch(batch_parameters={"dataframe": frame.to_pandas()})
    )
    found = batch.validate(
        suite,
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [key]},
    )
    by_name = {result.expectation_config.meta["rule"]: result for result in found.results}
    return [_outcome(rule, by_name[rule.name], key) for rule in rules]


def _expectation(rule: Rule, gxe: Any, limits: Limits) -> Any:  # noqa: ANN401  # as below
    expectation = rule.expectation(gxe, limits)
    expectation.severity = rule.severity
    expectation.meta = {"rule": rule.name}
    return expectation


def _outcome(rule: Rule, result: Any, key: str) -> Outcome:  # noqa: ANN401  # GX is untyped here
    rows = result.result.get("unexpected_index_list") or []
    raised = result.exception_info.get("raised_exception", False)
    return Outcome(
        rule=rule,
        passed=bool(result.success),
        broken_by=[str(row[key]) for row in rows],
        error=str(result.exception_info.get("exception_message")) if raised else None,
    )
