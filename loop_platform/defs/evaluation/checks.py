"""Gates as Dagster shows them: each a blocking check of its asset, so that the UI says which one
refused.
"""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation.evidence import Gate, table

# An asset with checks of its own returns several outputs, and Dagster does not look into
# `MaterializeResult[…]` then: without its type named, the frame would not be stored.
FRAME = dg.PythonObjectDagsterType(pl.DataFrame, name="frame")


def specs(asset: dg.AssetKey, names: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """The checks of an asset, from the names of its gates and what each asks for."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=text, blocking=True)
        for name, text in names.items()
    ]


def check_result(found: Gate, *, final: bool = True) -> dg.AssetCheckResult:
    """A gate's word as the result of its check.

    Where it is not `final`, a gate that has not passed yet warns, and one that is lost blocks.
    """
    blocks = final or found.refuses
    return dg.AssetCheckResult(
        check_name=found.name,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        description=found.sentence,
        metadata={"scores": dg.MetadataValue.md(table([found]))} if found.scores else {},
    )
