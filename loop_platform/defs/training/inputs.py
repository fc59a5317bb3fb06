"""The files of a training run, and the job that names them."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from loop_platform.arrivals import Arrived
from loop_platform.defs.curation.modes import by_split
from loop_platform.engine.arrival import Arrival
from loop_platform.engine.base_model import PACKAGED
from loop_platform.engine.job import Job, decode
from loop_platform.packaged import LICENCE
from loop_platform.release.registry import Release
from loop_platform.settings import ModelSettings, Recipe, Settings


@dataclass(frozen=True)
class Inputs:
    """`corrections.jsonl` and `replay.jsonl` of a cycle, `preferences.jsonl` where asked for, and
    `thumbs.jsonl` and `rehearsal.jsonl` where there are any."""

    corrections: Path
    replay: Path
    preferences: Path | None = None
    thumbs: Path | None = None
    rehearsal: Path | None = None


def write(
    folder: Path,
    corrections: pl.DataFrame,
    replay: Iterable[dict[str, Any]],
    thumbs: Sequence[dict[str, Any]] = (),
    rehearsal: Sequence[dict[str, Any]] = (),
    *,
    preferences: bool = False,
    apart: Collection[str] = (),
    cut: Collection[str] = (),
) -> Inputs:
    """Write the files, in place of what an earlier run of the cycle wrote.

    Args:
        preferences: the corrections that have both answers, as pairs, too.
        apart: decisions whose rows are held apart; no pair is made of them.
        cut: calls whose answers a token limit cut.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = corrections.select("decision_id", "messages", "chosen").iter_rows()
    rows = (
        {"messages": json.loads(messages), "answer": chosen}
        | ({"apart": True} if decision in apart else {})
        for decision, messages, chosen in columns
    )
    learnt = corrections.filter(~pl.col("decision_id").is_in(list(apart)))
    pairs = folder / "preferences.jsonl"
    rated = folder / "thumbs.jsonl"
    earlier = folder / "rehearsal.jsonl"
    for file in (pairs, rated, earlier):
        file.unlink(missing_ok=True)
    return Inputs(
        _lines(folder / "corrections.jsonl", rows),
        _lines(folder / "replay.jsonl", replay),
        _lines(pairs, _pairs(learnt, cut)) if preferences else None,
        _lines(rated, thumbs) if thumbs else None,
        _lines(earlier, rehearsal) if rehearsal else None,
    )


def _pairs(corrections: pl.DataFrame, cut: Collection[str]) -> Iterator[dict[str, Any]]:
    """A contribution has no rejected answer, and one that was never given teaches nothing. One that
    was cut did not end where it breaks off."""
    columns = corrections.select("messages", "chosen", "rejected", "call_id").iter_rows()
    for messages, chosen, rejected, call_id in columns:
        if (rejected or "").strip():
            pair = {"messages": json.loads(messages), "answer": chosen, "rejected": rejected}
            yield pair | ({"rejected_ended": False} if call_id in cut else {})


def modes(corrections: pl.DataFrame) -> list[dict[str, Any]]:
    """The failure modes that the rows of a cycle aim at: those that it trains on."""
    return [
        {
            "name": mode.name,
            "cluster": mode.cluster,
            "severity": None if mode.severity is None else round(mode.severity, 3),
            "rows": counts["train"],
            "held_out": counts["heldout"],
        }
        for mode, counts in by_split(corrections)
        if counts["train"]
    ]


def job(
    settings: Settings,
    recipe: Recipe,
    inputs: Inputs,
    parent: Release,
    modes: list[dict[str, Any]],
) -> Job:
    """The message to the trainer, checked as the trainer will check it."""
    return decode(
        {
            "base": str(settings.base_model_folder),
            "base_name": settings.models.base,
            "parent": None if parent.adapter_path is None else str(parent.adapter_path),
            "corrections": str(inputs.corrections),
            "replay": str(inputs.replay),
            "preferences": None if inputs.preferences is None else str(inputs.preferences),
            "thumbs": None if inputs.thumbs is None else str(inputs.thumbs),
            "rehearsal": None if inputs.rehearsal is None else str(inputs.rehearsal),
            "adapters": str(settings.data_dir / "adapters"),
            "weights": str(settings.data_dir / "weights"),
            "recipe": recipe.model_dump(),
            "threads": settings.training.threads,
            "max_tokens": settings.engine.max_model_len,
            "cost_per_hour": settings.engine.cost_per_hour,
            "budget_s": budget_s(settings),
            "licence": _licence(settings.models),
            "modes": modes,
        }
    )


def arrival(settings: Settings, arrived: Arrived, brought: Path, below: Release) -> Arrival:
    """The message to the program that takes in what came from elsewhere."""
    recipe = settings.training.recipe
    return Arrival(
        brought=str(brought),
        sits_on=None if below.adapter_path is None else str(below.adapter_path),
        base=str(settings.base_model_folder),
        base_name=settings.models.base,
        adapters=str(settings.data_dir / "adapters"),
        weights=str(settings.data_dir / "weights"),
        rank=recipe.rank,
        alpha=recipe.alpha,
        seed=recipe.seed,
        data_sha256=arrived.data_sha256,
        rows=arrived.rows,
        note=arrived.note,
        licence=_licence(settings.models),
        threads=settings.training.threads,
    )


def budget_s(settings: Settings) -> float | None:
    """Seconds that the settings allow, by time or by money; None where neither is limited."""
    training, hourly = settings.training, settings.engine.cost_per_hour
    by_time = None if training.max_minutes is None else 60 * training.max_minutes
    by_cost = None if not hourly or training.max_cost is None else 3600 * training.max_cost / hourly
    return min((limit for limit in (by_time, by_cost) if limit is not None), default=None)


def _licence(models: ModelSettings) -> str | None:
    return LICENCE if models.base.startswith(PACKAGED) else models.base_licence


def _lines(file: Path, rows: Iterable[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file
