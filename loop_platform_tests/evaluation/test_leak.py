"""The leak check as a function, and as the first gate of a real run."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.database import cycles as cycles_table
from loop_platform.defs.evaluation.leak import UNSEEN, Studied, unseen
from loop_platform.defs.evaluation.offline import offline
from loop_platform.defs.evaluation.scoring import Correction
from loop_platform.defs.training import inputs
from loop_platform.lake import Lake
from loop_platform.lessons import LessonsLostError, read
from loop_platform.release import registry
from loop_platform.release.registry import Release
from loop_platform.release.states import State
from loop_platform_tests.evaluation.cycle import (
    CYCLE,
    PROMPTS,
    candidate,
    learnt,
    materialise,
    settle,
    trained,
    verdicts,
)
from loop_platform_tests.release.stage import Stage

LONG = "how warm was it in the greenhouse yesterday around noon, when the sun came out"


def row(question: str) -> Correction:
    return Correction(f"id of {question}", "t", [{"role": "user", "content": question}], "yes")


def studied(
    folder: Path, *questions: str, cycle: str = "0001", replayed: tuple[str, ...] = ()
) -> Studied:
    """A training that read these, with its true record."""
    frame = pl.DataFrame(
        {
            "decision_id": questions,
            "messages": [f'[{{"role": "user", "content": "{said}"}}]' for said in questions],
            "chosen": ["yes"] * len(questions),
        },
        schema=dict.fromkeys(("decision_id", "messages", "chosen"), pl.String),
    )
    replay = [{"messages": [{"role": "user", "content": said}], "answer": "a"} for said in replayed]
    inputs.write(folder / "cycles" / cycle, frame, replay)
    found = read(folder, cycle)
    record = {
        "data_sha256": found.sha256,
        "corrections": len(questions),
        "replay": len(replayed),
    }
    return Studied(_release(cycle, record), found)


def _release(cycle: str, record: dict[str, Any]) -> Release:
    now = datetime.now(UTC)
    return Release(
        release=f"r-{cycle}",
        cycle=cycle,
        parent=None,
        adapter=None,
        adapter_path=None,
        weights_path=Path("w"),
        drill=False,
        state=State.REGISTERED,
        record=record,
        created_at=now,
        state_since=now,
    )


def test_rows_that_differ_in_one_word_are_an_honest_split(tmp_path: Path) -> None:
    rooms = ["kitchen", "bedroom", "hall", "cellar"]
    said = [f"turn on the lights in the {room}" for room in rooms]

    found = unseen([row(said[0])], [studied(tmp_path, *said[1:], replayed=("hello",))])

    assert found.passed
    assert (found.figures["held_out"], found.figures["trained_on"]) == (1, 4)
    assert found.figures["nearest"]["resemblance"] < found.figures["limit"]
    assert "1 held-out rows compared with 4 trained on; none is among them" in found.sentence


@pytest.mark.parametrize("copy", ["Pause the radio!", "  pause  THE radio", "pause the radio"])
def test_a_copy_is_a_leak_whatever_its_form(tmp_path: Path, copy: str) -> None:
    found = unseen([row("pause the radio"), row("dim it")], [studied(tmp_path, "hello", copy)])

    assert not found.passed
    assert (found.figures["identical"], found.figures["near_duplicates"]) == (1, 0)
    assert "1 of them leaked, the nearest: decision id of pause the radio is line 2" in (
        found.sentence
    )


def test_a_near_duplicate_in_what_an_earlier_cycle_replayed_is_a_leak(tmp_path: Path) -> None:
    own = studied(tmp_path, "hello", cycle="0002")
    earlier = studied(tmp_path, "dim the lamp", replayed=(LONG + " again",))

    found = unseen([row(LONG)], [own, earlier])

    assert not found.passed
    assert (found.figures["identical"], found.figures["near_duplicates"]) == (0, 1)
    assert found.figures["leaks"][0]["trained_on"] == "line 1 of replay.jsonl, cycle 0001"


def test_the_evidence_holds_nothing_that_anybody_said(tmp_path: Path) -> None:
    told = Correction("d1", "t", [{"role": "user", "content": "call my doctor"}], "yes")

    found = unseen([told], [studied(tmp_path, "call my doctor")])

    assert "doctor" not in str(found.as_evidence())


def test_files_that_are_not_those_of_the_training_prove_nothing(tmp_path: Path) -> None:
    was = studied(tmp_path, "hello", "good morning")
    now = studied(tmp_path, "hello", "good night")

    found = unseen([row("dim it")], [replace(now, release=was.release)])

    assert not found.passed
    assert "the files of cycle 0001 are not those that release r-0001 was trained on" in (
        found.sentence
    )


def test_rows_that_were_erased_are_missed_in_the_own_training_and_said_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    own = studied(tmp_path, "hello", cycle="0002")
    was = studied(tmp_path, "good morning", "good night")
    rest = replace(studied(tmp_path, "good night"), release=was.release)

    earlier = unseen([row("dim it")], [own, rest])
    itself = unseen([row("dim it")], [rest])

    assert earlier.passed
    assert earlier.sentence.endswith("1 rows of earlier trainings were erased since")
    assert not itself.passed
    assert "train it again" in itself.sentence


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(LessonsLostError, match=r"corrections\.jsonl is not there"):
        read(tmp_path, "0007")


def test_a_candidate_that_was_trained_on_its_test_is_refused(
    stage: Stage, instance: dg.DagsterInstance
) -> None:
    name = candidate(stage, learnt(), replayed=["hello", f"{PROMPTS[3].upper()}."])

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert [gate for gate, passed in verdicts(result).items() if not passed] == [UNSEEN]
    assert stage.release(name).state is State.REJECTED
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    leaked = next(gate for gate in last.evidence["gates"] if gate["gate"] == UNSEEN)
    assert leaked["leaks"] == [
        {
            "held_out": "d03",
            "trained_on": f"line 2 of replay.jsonl, cycle {CYCLE}",
            "resemblance": 1.0,
        }
    ]


def test_a_candidate_whose_training_files_are_gone_is_refused(
    stage: Stage, instance: dg.DagsterInstance
) -> None:
    name = candidate(stage, learnt())
    (stage.settings.data_dir / "cycles" / CYCLE / "replay.jsonl").unlink()

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert not verdicts(result)[UNSEEN]
    assert stage.release(name).state is State.REJECTED


def test_what_people_corrected_again_is_no_test_of_what_was_learnt_before(
    stage: Stage, instance: dg.DagsterInstance
) -> None:
    name = candidate(stage, learnt())
    past = [*PROMPTS[30:35], "dim the hall"]  # the first five are what the candidate trained on
    _shipped_before(stage, past)

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert verdicts(result)[UNSEEN]
    rows = Lake(stage.settings.lake).read(f"evaluation/offline/{CYCLE}.parquet")
    assert rows.filter(part="earlier corrections")["prompt"].to_list() == ["dim the hall"]


def _shipped_before(stage: Stage, held_out: list[str]) -> None:
    """An earlier cycle, whose release served once and held these out."""
    frame = pl.DataFrame(
        {
            "decision_id": [f"past-{at}" for at in range(len(held_out))],
            "task": ["commands"] * len(held_out),
            "messages": [f'[{{"role": "user", "content": "{said}"}}]' for said in held_out],
            "chosen": ["yes"] * len(held_out),
            "cluster": ["commands-0001"] * len(held_out),
            "split": ["heldout"] * len(held_out),
        }
    )
    Lake(stage.settings.lake).write(frame, "curation/corrections/0000.parquet")
    folder = stage.settings.data_dir / "weights" / "past"
    with stage.database.begin() as connection:
        connection.execute(
            sa.insert(cycles_table).values(
                cycle="0000",
                kind="improvement",
                reason="test",
                opened_at=sa.text("now() - interval '1 day'"),
                closed_at=sa.func.now(),
            )
        )
        past = registry.register(
            connection,
            cycle="0000",
            parent=None,
            adapter="0" * 12,
            adapter_path=folder,
            weights_path=folder,
            drill=False,
            record=trained(stage, "0000", frame),
        )
        connection.execute(
            sa.text("UPDATE releases SET state = 'retired' WHERE release = :name"), {"name": past}
        )
