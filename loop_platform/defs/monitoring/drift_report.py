"""How the calls of now differ from those that the champion was judged on, task by task."""

from dataclasses import asdict, dataclass

import dagster as dg
import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import drift_verdicts
from loop_platform.defs.monitoring.drift import (
    Test,
    Vectors,
    embeddings_test,
    movers,
    overall_p_value,
    signal_tests,
)
from loop_platform.defs.monitoring.picture import Panel, picture
from loop_platform.defs.monitoring.signals import signals
from loop_platform.defs.monitoring.windows import Champion, TaskCalls, Windows, champion, tasks
from loop_platform.defs.resources import LoopResource
from loop_platform.partitions import hourly

_REPORT = pl.Schema(
    {
        "task": pl.String,
        "release": pl.String,
        "last_call_id": pl.String,
        "drifted": pl.Boolean,
        "name": pl.String,
        "statistic": pl.Float64,
        "p_value": pl.Float64,
        "p_adjusted": pl.Float64,
        "n_reference": pl.Int64,
        "n_current": pl.Int64,
        "alarms": pl.Boolean,
    }
)


@dataclass(frozen=True)
class Verdict:
    """What was found of one task."""

    task: str
    release: str
    last_call_id: str
    drifted: bool
    p_value: float
    effect: float
    calls: int
    tests: list[Test]
    panel: Panel
    moved_by: list[str]
    """Ids of the calls that are most unlike before."""


@dg.asset(
    partitions_def=hourly,
    key_prefix="monitoring",
    deps=[dg.AssetKey(["monitoring", "signals"])],
    group_name="monitoring",
    kinds={"polars", "parquet"},
    owners=["team:loop"],
)
def drift_report(
    context: dg.AssetExecutionContext, loop: LoopResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each task's last calls against the window that the champion was judged on: MMD and KS."""
    with loop.database.connect() as connection:
        serving = champion(connection)
        seen = tasks(connection, context.partition_key)
        found = [
            verdict
            for task in seen
            if serving
            and (verdict := _verdict(connection, loop, serving, task, context.partition_key))
        ]
    with loop.database.begin() as connection:
        for verdict in found:
            _enter(connection, verdict, context.partition_key)
    return dg.MaterializeResult(value=_frame(found), metadata=_metadata(found, seen, serving))


def _verdict(
    connection: sa.Connection, loop: LoopResource, serving: Champion, task: str, hour: str
) -> Verdict | None:
    """None where a window is too short."""
    monitoring = loop.settings.monitoring
    calls = TaskCalls(connection, loop.lake, task, hour, monitoring.drift_window)
    prompts = calls.prompts(serving)
    if prompts is None:
        return None
    reference, current = _vectors(prompts.reference), _vectors(prompts.current)
    embeddings = embeddings_test(reference, current)
    tests = _signal_tests(calls.answers(serving))
    p_value = overall_p_value(embeddings, tests)
    drifted = p_value < monitoring.drift_p_value
    embedded = prompts.current.filter(pl.col("embedding").is_not_null())
    return Verdict(
        task=task,
        release=serving.release,
        last_call_id=prompts.current["call_id"][-1],
        drifted=drifted,
        p_value=p_value,
        effect=embeddings.statistic if embeddings else 0.0,
        calls=prompts.current.height,
        tests=[*([embeddings] if embeddings else []), *tests],
        panel=Panel(task, reference, current, tests, drifted),
        moved_by=[embedded["call_id"][at] for at in movers(reference, current)],
    )


def _signal_tests(answers: Windows | None) -> list[Test]:
    if answers is None:
        return []
    alarms = {signal.name: signal.alarms for signal in signals()}
    return signal_tests(answers.reference, answers.current, alarms)


def _vectors(window: pl.DataFrame) -> Vectors:
    embedded = window["embedding"].drop_nulls()
    flat = embedded.explode().to_numpy()
    return flat.reshape(len(embedded), -1) if len(embedded) else np.zeros((0, 0), np.float32)


def _enter(connection: sa.Connection, verdict: Verdict, hour: str) -> None:
    same = ("task", "last_call_id", "release", "drifted", "p_value", "effect", "calls")
    row = {name: getattr(verdict, name) for name in same} | {"hour": hour}
    connection.execute(
        insert(drift_verdicts)
        .values(row)
        .on_conflict_do_update(index_elements=["task", "last_call_id"], set_=row)
    )


def _frame(found: list[Verdict]) -> pl.DataFrame:
    rows = [
        {name: getattr(verdict, name) for name in ("task", "release", "last_call_id", "drifted")}
        | asdict(test)
        for verdict in found
        for test in verdict.tests
    ]
    return pl.DataFrame(rows, _REPORT)


def _metadata(
    found: list[Verdict], seen: list[str], serving: Champion | None
) -> dict[str, dg.MetadataValue | str | int]:
    why = "a window is shorter than 30 calls" if serving else "nobody is champion"
    drifted = [verdict.task for verdict in found if verdict.drifted]
    metadata: dict[str, dg.MetadataValue | str | int] = {
        "summary": f"saw {len(seen)} tasks, judged {len(found)}, skipped"
        f" {len(seen) - len(found)} because {why}; drift in {', '.join(drifted) or 'none'}",
        "champion": serving.release if serving else "none",
        "drifted": len(drifted),
    }
    if found:
        metadata["picture"] = picture([one.panel for one in found])
        metadata["tests"] = dg.MetadataValue.md(_table(found))
        metadata["calls_that_moved_it"] = dg.MetadataValue.json(
            {verdict.task: verdict.moved_by for verdict in found}
        )
    return metadata


def _table(found: list[Verdict]) -> str:
    head = ["| task | test | statistic | p | p adjusted | n before | n now |", "|---" * 7 + "|"]
    lines = [
        f"| {verdict.task} | {test.name}{'' if test.alarms else ' (no alarm)'} |"
        f" {test.statistic:.3f} | {test.p_value:.2g} | {test.p_adjusted:.2g} |"
        f" {test.n_reference} | {test.n_current} |"
        for verdict in found
        for test in verdict.tests
    ]
    return "\n".join(head + lines)
