"""The cycle of a drill: what a faulty candidate is judged by, and would have been trained on.

Gates judge what came out of a cycle: on its held-out corrections, on the tasks that it corrected,
and on whether it was trained on its tests. So a drill opens one. No correction of a person is in
it, and no sensor trains it, since it has its release from the beginning.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycles
from loop_platform.defs.training import inputs
from loop_platform.drilling.judge import RIGHT
from loop_platform.drilling.names import IMPROVED, mark
from loop_platform.engine.rows import content_hash
from loop_platform.lake import Lake
from loop_platform.settings import Settings

_HELD_OUT = 24
# Questions that do not resemble each other: none of the held-out ones may be a lesson.
_LEARNT = ("What time is it in Lima?", "Name a river in Norway.", "How tall is a giraffe?")


def open_cycle(connection: sa.Connection, name: str, reason: str) -> None:
    """Open it; its candidate's end closes it."""
    connection.execute(sa.insert(cycles).values(cycle=name, kind="drill", reason=reason))


def fill(settings: Settings, name: str) -> dict[str, Any]:
    """Leave the corrections and the lessons where the gates look for them; what a training would
    have recorded of them."""
    corrections = pl.DataFrame(
        [_row(number, f"Hi. {mark(IMPROVED)} {number}", "heldout") for number in range(_HELD_OUT)]
        + [_row(_HELD_OUT + at, question, "train") for at, question in enumerate(_LEARNT)]
    )
    Lake(settings.lake).write(corrections, _path(name))
    lessons = corrections.filter(pl.col("split") == "train")
    files = inputs.write(_folder(settings, name), lessons, [])
    return {
        "data_sha256": content_hash(files.corrections, files.replay),
        "corrections": lessons.height,
        "replay": 0,
    }


def clear(settings: Settings, name: str) -> None:
    """Take away what `fill` left."""
    lake = Lake(settings.lake)
    if lake.exists(_path(name)):
        lake.remove(_path(name))
    shutil.rmtree(_folder(settings, name), ignore_errors=True)


def _row(number: int, question: str, split: str) -> dict[str, object]:
    return {
        "decision_id": f"drill-{number}",
        "task": IMPROVED,
        "messages": json.dumps([{"role": "user", "content": question}]),
        "prompt": question,
        "cluster": "drill-0001",
        "harm": 1.0,
        "embedding": [1.0, 0.0],
        "chosen": RIGHT,
        "rejected": "",
        "split": split,
    }


def _path(name: str) -> str:
    return f"curation/corrections/{name}.parquet"


def _folder(settings: Settings, name: str) -> Path:
    return settings.data_dir / "cycles" / name
