"""An export: a folder of files for OpenRLHF, with the commands that run them there.

What is held out never leaves, so that a result which comes back can still be tested.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import curated
from loop_platform.curated import NothingCuratedError
from loop_platform.defs.training import replay, thumbs
from loop_platform.lake import Lake
from loop_platform.openrlhf import readme, reward, rows
from loop_platform.openrlhf.commands import Run
from loop_platform.openrlhf.rows import Lesson, NotTextError, Thumb, conversation
from loop_platform.release import registry
from loop_platform.release.registry import Release
from loop_platform.settings import Recipe, Settings


class NothingToExportError(LookupError):
    """No champion to train on, or no row that OpenRLHF could read."""


@dataclass(frozen=True)
class Exported:
    """What is in the folder."""

    cycle: str
    champion: Release
    """What training there starts from."""
    files: dict[str, int]
    """Rows by file."""
    left_out: dict[str, int]
    """Corrections, by why OpenRLHF could not read them."""


def export(
    connection: sa.Connection, lake: Lake, settings: Settings, out: Path, cycle: str | None = None
) -> Exported:
    """Write the training rows of a cycle, the newest by default, into the empty folder `out`.

    Raises:
        NothingCuratedError: there is no such cycle.
        NothingToExportError: it has no row to train on, or there is no champion.
    """
    champion = registry.champion(connection)
    if champion is None:
        raise NothingToExportError("there is no champion to train on: `loop up` installs the base")
    cycle = cycle or curated.newest(connection, lake)
    frame = _training_rows(lake, cycle)
    lessons, left_out = _lessons(frame)
    if not lessons:
        raise NothingToExportError(f"no correction of cycle {cycle!r} is text alone")
    recipe = settings.training.recipe
    liked = _rated(connection, lake, frame, settings)
    kept = _kept(connection, lake, champion, frame, recipe)
    out.mkdir(parents=True, exist_ok=True)
    files = _write(out, lessons, liked, kept)
    run = Run(
        rank=recipe.rank,
        alpha=recipe.alpha,
        max_tokens=settings.engine.max_model_len,
        epochs=max(1, round(recipe.epochs)),
        prompts=files["prompts.jsonl"],
        replay=bool(kept),
    )
    exported = Exported(cycle, champion, files, left_out)
    shutil.copyfile(reward.__file__, out / "reward.py")
    text = readme.text(cycle, champion, files, left_out, run)
    (out / "README.md").write_text(text)
    return exported


def _training_rows(lake: Lake, cycle: str) -> pl.DataFrame:
    if not lake.exists(curated.path(cycle)):
        raise NothingCuratedError(f"there is no cycle {cycle!r} with curated corrections")
    return lake.read(curated.path(cycle)).filter(pl.col("split") == "train")


def _lessons(frame: pl.DataFrame) -> tuple[list[Lesson], dict[str, int]]:
    lessons = []
    left_out: Counter[str] = Counter()
    columns = frame.select("task", "messages", "chosen", "rejected")
    for task, messages, chosen, rejected in columns.iter_rows():
        try:
            prompt = conversation(json.loads(messages))
        except NotTextError as error:
            left_out[str(error)] += 1
            continue
        said = rejected if (rejected or "").strip() else None
        lessons.append(Lesson(task, prompt, chosen, said))
    return lessons, dict(left_out)


def _kept(
    connection: sa.Connection, lake: Lake, champion: Release, frame: pl.DataFrame, recipe: Recipe
) -> list[dict[str, Any]]:
    """The champion's own answers that a cycle here would replay. Not those that a token limit cut:
    OpenRLHF would teach to end there."""
    found = replay.replay(
        connection,
        lake,
        champion=champion.release,
        corrected=set(frame["task"].unique()),
        tenants=set(frame["tenant"].unique()),
        rows=recipe.replay_rows,
    )
    kept = []
    for line in replay.lines(found):
        try:
            prompt = conversation(line["messages"])
        except NotTextError:
            continue
        if line["ended"]:
            kept.append(Lesson("", prompt, line["answer"], None))
    return list(rows.supervised(kept))


def _rated(
    connection: sa.Connection, lake: Lake, frame: pl.DataFrame, settings: Settings
) -> list[Thumb]:
    """Answers that people liked or did not, those that a cycle here would learn from. Not those
    that a token limit cut, for the same reason."""
    found = thumbs.thumbs(
        connection,
        lake,
        tenants=set(frame["tenant"].unique()),
        share=settings.curation.max_contributor_share,
        rows=settings.training.recipe.thumbs_rows,
    )
    rated = []
    for line in thumbs.lines(found):
        try:
            prompt = conversation(line["messages"])
        except NotTextError:
            continue
        if line["ended"]:
            rated.append(Thumb(prompt, line["answer"], line["liked"]))
    return rated


def _write(
    out: Path, lessons: Sequence[Lesson], liked: Sequence[Thumb], kept: Sequence[dict[str, Any]]
) -> dict[str, int]:
    """The files, each of which has rows; returns how many."""
    files = {
        "sft.jsonl": rows.supervised(lessons),
        "replay.jsonl": kept,
        "preferences.jsonl": rows.preferences(lessons),
        "kto.jsonl": rows.labelled(lessons, liked),
        "prompts.jsonl": rows.prompts(lessons),
    }
    written = {name: _lines(out / name, found) for name, found in files.items()}
    return {name: count for name, count in written.items() if count}


def _lines(file: Path, found: Iterable[dict[str, Any]]) -> int:
    lines = [json.dumps(row, ensure_ascii=False) for row in found]
    if lines:
        file.write_text("\n".join(lines) + "\n")
    return len(lines)
