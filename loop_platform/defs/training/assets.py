"""The adapter of a cycle: trained in the engine environment, registered as a release."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import sqlalchemy as sa

from loop_platform import arrivals
from loop_platform.arrivals import Arrived
from loop_platform.database import cycles as cycles_table
from loop_platform.defs.resources import LoopResource
from loop_platform.defs.training import apart, inputs, refused, rehearsal, replay, thumbs
from loop_platform.defs.training.cut import cut
from loop_platform.defs.training.launchers import Launcher
from loop_platform.defs.training.picture import course
from loop_platform.defs.training.trainer import Trained, take_in, train
from loop_platform.engine.adapter import AdapterRefusedError, check, content_hash
from loop_platform.engine.job import Job
from loop_platform.partitions import cycles
from loop_platform.release import registry
from loop_platform.release.registry import Release
from loop_platform.settings import Recipe, Settings

ADAPTER = dg.AssetKey(["training", "adapter"])

_IS_ITS_HASH = dg.AssetCheckSpec(
    "content_is_its_name",
    asset=ADAPTER,
    blocking=True,
    description="Safetensors alone, no pickle, in a folder named by the hash of its content.",
)


@dg.asset(
    key=ADAPTER,
    group_name="training",
    partitions_def=cycles,
    ins={"corrections": dg.AssetIn(["curation", "corrections"])},
    deps=[dg.AssetDep(["telemetry", "calls"], partition_mapping=dg.AllPartitionMapping())],
    kinds={"pytorch", "huggingface"},
    owners=["team:loop"],
    pool="training",
    check_specs=[_IS_ITS_HASH],
)
def adapter(
    context: dg.AssetExecutionContext,
    loop: LoopResource,
    launcher: dg.ResourceParam[Launcher],
    corrections: pl.DataFrame,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """LoRA weights that mend the cycle's corrections and keep what the champion does well; of a
    cycle of the kind `import` those that somebody brought."""
    cycle = context.partition_key
    with loop.database.connect() as connection:
        arrived = arrivals.find(connection, loop.settings.data_dir, cycle)
    if arrived is not None:
        return _taken_in(context, loop, launcher, *arrived)
    with loop.database.connect() as connection:
        drilled = _drilled(connection, cycle)
        parent = _parent(connection, drilled)
    recipe = _recipe(loop.settings, drilled)
    job = _job(loop, cycle, corrections, recipe, parent)
    trained = train(context, launcher, loop.settings, job)
    checked = _checked(trained)
    if checked.passed:
        _register(loop, cycle, parent, trained, drill=drilled is not None)
    with loop.database.begin() as connection:
        refused.set_aside(connection, cycle, _corrected(corrections), trained.record["refused"])
    return dg.MaterializeResult(
        metadata=_metadata(trained.record, parent),
        data_version=dg.DataVersion(trained.sha256),
        check_results=[checked],
    )


def _taken_in(
    context: dg.AssetExecutionContext,
    loop: LoopResource,
    launcher: Launcher,
    arrived: Arrived,
    brought: Path,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with loop.database.connect() as connection:
        below = registry.find(connection, arrived.sits_on)
    given = inputs.arrival(loop.settings, arrived, brought, below)
    trained = take_in(context, launcher, loop.settings, given)
    checked = _checked(trained)
    if checked.passed:
        _register(loop, context.partition_key, below, trained, drill=False)
    said = ("adapter", "brought", "note", "held", "rank", "corrections", "data_sha256")
    return dg.MaterializeResult(
        metadata={
            "trained on": below.release,
            **{name: trained.record[name] for name in said},
            "versions": dg.MetadataValue.json(trained.record["versions"]),
        },
        data_version=dg.DataVersion(trained.sha256),
        check_results=[checked],
    )


def _drilled(connection: sa.Connection, cycle: str) -> str | None:
    return connection.scalar(
        sa.select(cycles_table.c.drill_of).where(cycles_table.c.cycle == cycle)
    )


def _parent(connection: sa.Connection, drilled: str | None) -> Release:
    """The release that training goes on from: the champion; for a drill, the one before it."""
    champion = registry.champion(connection)
    if champion is None:
        raise dg.Failure("there is no champion to train on: `loop status` says what is missing")
    beside = None if drilled is None else registry.by_cycle(connection, drilled)
    if beside is None or beside.parent is None:
        return champion
    return registry.find(connection, beside.parent)


def _recipe(settings: Settings, drilled: str | None) -> Recipe:
    if drilled is None:
        return settings.training.recipe
    if settings.training.drill is None:
        raise dg.Failure("this cycle is a gate drill, and the settings have no [training.drill]")
    return settings.training.drill


def _job(
    loop: LoopResource, cycle: str, corrections: pl.DataFrame, recipe: Recipe, parent: Release
) -> Job:
    corrected = _corrected(corrections)
    held = apart.corrections(corrected, loop.settings.curation.near_duplicate_similarity)
    held_replay = apart.replay_rows(recipe.replay_rows) if held else 0
    rows = recipe.replay_rows + held_replay
    tenants = set(corrected["tenant"].unique())
    with loop.database.connect() as connection:
        kept = replay.replay(
            connection,
            loop.lake,
            champion=parent.release,
            corrected=set(corrected["task"].unique()),
            tenants=tenants,
            rows=rows,
        )
        rated = thumbs.thumbs(
            connection,
            loop.lake,
            tenants=tenants,
            share=loop.settings.curation.max_contributor_share,
            rows=recipe.thumbs_rows if recipe.thumbs_weight > 0 else 0,
        )
        earlier = rehearsal.rehearsal(
            connection,
            parent,
            corrected,
            rows=rehearsal.drawn(recipe.rehearsal_rows, recipe.epochs),
            cycle=cycle,
        )
        broken_off = cut(connection, loop.lake, set(corrected["call_id"].drop_nulls()))
    # Where there are fewer than asked for, as many less of each.
    replayed = apart.marked(replay.lines(kept), kept.height * held_replay // max(1, rows))
    files = inputs.write(
        loop.settings.data_dir / "cycles" / cycle,
        corrected,
        replayed,
        list(thumbs.lines(rated)),
        apart.marked(rehearsal.lines(earlier), apart.rehearsed_rows(earlier.height) if held else 0),
        preferences=recipe.preference_weight > 0,
        apart=held,
        cut=broken_off,
    )
    return inputs.job(loop.settings, recipe, files, parent, inputs.modes(corrections))


def _corrected(corrections: pl.DataFrame) -> pl.DataFrame:
    """What is trained on, line by line of `corrections.jsonl`."""
    return corrections.filter(pl.col("split") == "train")


def _checked(trained: Trained) -> dg.AssetCheckResult:
    try:
        check(trained.adapter)
        found = content_hash(trained.adapter)
    except AdapterRefusedError as refusal:
        return _result(False, str(refusal))
    return _result(found == trained.sha256, f"the content's hash is {found}")


def _result(passed: bool, description: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, check_name=_IS_ITS_HASH.name, asset_key=ADAPTER, description=description
    )


def _register(
    loop: LoopResource, cycle: str, parent: Release, trained: Trained, *, drill: bool
) -> None:
    with loop.database.begin() as connection:
        registry.register(
            connection,
            cycle=cycle,
            parent=parent.release,
            adapter=trained.sha256,
            adapter_path=trained.adapter,
            weights_path=trained.weights,
            drill=drill,
            record=trained.record,
        )


def _metadata(record: Mapping[str, Any], parent: Release) -> dict[str, Any]:
    counts = (
        "corrections",
        "replay",
        "rehearsal",
        "steps",
        "tokens",
        "seconds",
        "tokens_per_s",
        "cost",
    )
    return {
        "adapter": record["adapter"],
        "trained on": parent.release,
        **{name: record[name] for name in counts},
        "methods": dg.MetadataValue.md("\n".join(f"- {line}" for line in record["methods"])),
        "held apart": dg.MetadataValue.json(record["held_apart"]),
        "kept": record["kept_because"],
        "stopped early": record["stopped"] or "no",
        "memory ran out": len(record["out_of_memory"]),
        "rows refused": len(record["refused"]),
        "why refused": dg.MetadataValue.md(refused.table(record["refused"])),
        "course": course(record),
        "failure modes": dg.MetadataValue.md(_modes(record["modes"])),
        "recipe": dg.MetadataValue.json(record["recipe"]),
        "versions": dg.MetadataValue.json(record["versions"]),
        "data sha256": record["data_sha256"],
    }


def _modes(aimed_at: Sequence[Mapping[str, Any]]) -> str:
    """What the cycle aimed at, as Markdown."""
    head = "| mode | severity | rows | held out |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {mode['name']} | {'–' if mode['severity'] is None else mode['severity']} |"
        f" {mode['rows']} | {mode['held_out']} |"
        for mode in aimed_at
    )
