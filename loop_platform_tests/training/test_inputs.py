"""The job that a cycle's rows become."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from loop_platform import lessons
from loop_platform.defs.training import inputs
from loop_platform.engine import material
from loop_platform.engine.job import decode, encode
from loop_platform.engine.rows import content_hash
from loop_platform.release.registry import Release
from loop_platform.release.states import State
from loop_platform.settings import Recipe, Settings


def _corrections() -> pl.DataFrame:
    """Five of one mode, two of another that all wait or are tested, one that is kept out."""
    splits = [
        *[("home-0001", split) for split in ("train", "train", "train", "heldout", "deferred")],
        *[("home-0002", split) for split in ("heldout", "deferred")],
        ("home-0001", "quarantine"),
    ]
    return pl.DataFrame(
        [
            {
                "decision_id": f"d{number}",
                "task": "home",
                "cluster": cluster,
                "messages": json.dumps([{"role": "user", "content": f"dim lamp {number}"}]),
                "prompt": f"dim lamp {number}",
                "chosen": "{}",
                "embedding": [1.0, 0.0],
                "harm": 0.9,
                "split": split,
            }
            for number, (cluster, split) in enumerate(splits)
        ]
    )


def test_the_job_names_the_modes_that_the_cycle_trains_on(settings: Settings) -> None:
    corrections = _corrections()
    folder = settings.data_dir / "cycles" / "0001"
    files = inputs.write(folder, corrections.filter(pl.col("split") == "train"), [])
    job = inputs.job(settings, Recipe(), files, _champion(settings), inputs.modes(corrections))

    [mode] = job.modes
    assert (mode.cluster, mode.severity, mode.rows, mode.held_out) == ("home-0001", 0.9, 3, 1)
    assert mode.name == "home: dim, lamp (home-0001)"
    assert len(files.corrections.read_text().splitlines()) == 3
    assert decode(json.loads(json.dumps(encode(job)))) == job


def test_pairs_are_written_where_the_recipe_wants_them_and_both_answers_are_there(
    settings: Settings,
) -> None:
    rejected = ["no", None, " ", "no", "no", "no", "no", "no"]
    corrections = _corrections().with_columns(
        rejected=pl.Series(rejected), call_id=pl.col("decision_id").str.replace("d", "c")
    )
    corrected = corrections.filter(pl.col("split") == "train")
    folder = settings.data_dir / "cycles" / "0001"

    files = inputs.write(folder, corrected, [], preferences=True)
    assert files.preferences is not None
    [pair] = map(json.loads, files.preferences.read_text().splitlines())
    assert (pair["answer"], pair["rejected"]) == ("{}", "no")
    assert pair["messages"] == [{"role": "user", "content": "dim lamp 0"}]

    broken_off = inputs.write(folder, corrected, [], preferences=True, cut={"c0"}).preferences
    assert broken_off is not None
    assert json.loads(broken_off.read_text()) == pair | {"rejected_ended": False}

    assert inputs.write(folder, corrected, []).preferences is None
    assert sorted(file.name for file in folder.iterdir()) == ["corrections.jsonl", "replay.jsonl"]


def test_rows_held_apart_say_so_and_make_no_pair(settings: Settings) -> None:
    corrected = _corrections().with_columns(rejected=pl.lit("no"), call_id=pl.lit("c"))[:3]
    folder = settings.data_dir / "cycles" / "0001"

    files = inputs.write(folder, corrected, [], preferences=True, apart={"d1"})

    rows = list(map(json.loads, files.corrections.read_text().splitlines()))
    assert [row.get("apart") for row in rows] == [None, True, None]
    assert files.preferences is not None
    assert len(files.preferences.read_text().splitlines()) == 2


def test_the_leak_check_reads_what_the_trainer_reads(settings: Settings) -> None:
    corrected = _corrections().with_columns(rejected=pl.lit("no"), call_id=pl.lit("c"))[:3]
    said = {"messages": [{"role": "user", "content": "hello"}], "answer": "hi"}
    rated = [said | {"liked": True, "ended": True}]
    folder = settings.data_dir / "cycles" / "0001"

    files = inputs.write(folder, corrected, [said], rated, [said], preferences=True)

    job = inputs.job(settings, Recipe(), files, _champion(settings), [])
    found = lessons.read(settings.data_dir, "0001")
    assert found.sha256 == content_hash(*material.files(job))
    kinds = [*["corrections"] * 3, "replay", "thumbs", "rehearsal"]
    assert [line.kind for line in found.lines] == kinds
    counts = dict.fromkeys(("replay", "thumbs", "rehearsal"), 1)
    counts |= {"corrections": 2, "held_apart": {"corrections": 1}}
    assert found.missing(counts) == 0
    assert found.missing(counts | {"thumbs": 3}) == 2


@pytest.mark.parametrize(
    ("minutes", "cost", "seconds"),
    [(None, None, None), (2.0, None, 120.0), (None, 0.1, 1800.0), (2.0, 0.1, 120.0)],
)
def test_time_and_money_limit_a_training_whichever_is_less(
    settings: Settings, minutes: float | None, cost: float | None, seconds: float | None
) -> None:
    training = settings.training.model_copy(update={"max_minutes": minutes, "max_cost": cost})
    given = settings.model_copy(update={"training": training})
    assert given.engine.cost_per_hour == 0.2
    assert inputs.budget_s(given) == seconds


def _champion(settings: Settings) -> Release:
    now = datetime.now(UTC)
    return Release(
        release="base-1",
        cycle=None,
        parent=None,
        adapter=None,
        adapter_path=None,
        weights_path=settings.base_model_folder,
        drill=False,
        state=State.CHAMPION,
        record={},
        created_at=now,
        state_since=now,
    )
