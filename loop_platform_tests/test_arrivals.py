"""An adapter that was trained elsewhere: from the command line through curation and training to a
registered candidate, and what the gates know of it."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform import arrivals, lessons
from loop_platform.database import cycle_corrections, cycles
from loop_platform.defs.curation import due
from loop_platform.defs.curation.assets import corrections
from loop_platform.defs.evaluation import leak
from loop_platform.defs.evaluation.heldout import held_out
from loop_platform.defs.resources import resources
from loop_platform.defs.training.assets import adapter
from loop_platform.lake import Lake
from loop_platform.release import machine, registry
from loop_platform.release.card import card_of
from loop_platform.release.registry import Release
from loop_platform.settings import EngineSettings, Recipe, Settings, TrainingSettings
from loop_platform_tests.cli.conftest import Loop, loop
from loop_platform_tests.engine.programs import PYTHON, engine
from loop_platform_tests.openrlhf.conftest import CYCLE, HELD_OUT, curated, hold_out

__all__ = ["loop"]

_ADAPTER = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
torch.manual_seed(2)
config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(sys.argv[1]), config)
for name, weight in adapted.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.02)
adapted.save_pretrained(sys.argv[2])
"""


@pytest.fixture(scope="session")
def brought(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the tiny model, from elsewhere."""
    folder = tmp_path_factory.mktemp("elsewhere") / "dpo"
    engine("-c", _ADAPTER, str(tiny), str(folder))
    return folder


@pytest.fixture
def given(settings: Settings, database: sa.Engine, tiny: Path) -> Settings:
    """A loop with the tiny model as champion and a cycle that held something out."""
    found = settings.model_copy(
        update={
            "engine": EngineSettings(python=PYTHON),
            "training": TrainingSettings(recipe=Recipe(rank=4, alpha=4), threads=1),
        }
    )
    found.base_model_folder.parent.mkdir(parents=True)
    shutil.copytree(tiny, found.base_model_folder)
    Lake(found.lake).write(curated(), f"curation/corrections/{CYCLE}.parquet")
    with database.begin() as connection:
        closed = {"cycle": CYCLE, "kind": "improvement", "reason": "…"}
        now = sa.func.clock_timestamp()
        connection.execute(sa.insert(cycles).values(**closed, closed_at=now))
        hold_out(connection)
        base = registry.register_base(
            connection,
            weights="ba5e" * 16,
            weights_path=found.base_model_folder,
            record={},
            actor="test",
        )
        machine.install_first(connection, base, actor="test", reason="test")
    return found


def rows(file: Path, *prompts: str) -> Path:
    lines = ({"input": [{"role": "user", "content": said}], "label": "{}"} for said in prompts)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def taken_in(given: Settings, cycle: str) -> dg.ExecuteInProcessResult:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("cycles", [cycle])
    return dg.materialize(
        [corrections, adapter],
        partition_key=cycle,
        resources=resources(given),
        instance=instance,
        raise_on_error=False,
    )


def unseen(given: Settings, database: sa.Engine, release: Release) -> leak.Gate:
    with database.connect() as connection:
        trainings = [
            leak.Studied(each, lessons.read(given.data_dir, cycle))
            for cycle, each in lessons.lineage(connection, release)
        ]
    return leak.unseen(held_out(curated()), trainings)


def test_an_adapter_from_elsewhere_becomes_a_candidate_like_any_other(
    loop: Loop, given: Settings, database: sa.Engine, brought: Path, tmp_path: Path
) -> None:
    file = rows(tmp_path / "rows.jsonl", "lamp one on", "lamp one on", "lamp two on")
    said = loop("import", "adapter", brought, "--trained-on", file, "--note", "DPO on a cluster")
    assert said.exit_code == 0, said.output
    assert "cycle 0001-import is open" in said.output
    with database.connect() as connection:
        assert due.open_cycle(connection) == "0001-import"

    assert taken_in(given, "0001-import").success
    with database.connect() as connection:
        release = registry.by_cycle(connection, "0001-import")
        tested = connection.execute(
            sa.select(cycle_corrections.c.decision_id, cycle_corrections.c.split).where(
                cycle_corrections.c.cycle == "0001-import"
            )
        ).all()
        later = lessons.before(connection, "0001-import")
        assert release is not None
        card = card_of(connection, release.release)
    assert (given.data_dir / "adapters" / str(release.adapter) / "README.md").read_text() == card
    for part in ("that was trained elsewhere", "DPO on a cluster", "## What got worse"):
        assert part in card
    assert release.record["note"] == "DPO on a cluster"
    assert (release.record["rank"], release.record["corrections"]) == (4, 2)
    assert (release.weights_path / "model.safetensors").is_file()
    assert release.parent == f"base-{'ba5e' * 3}"
    assert [tuple(row) for row in tested] == [("d7", "heldout")]
    assert Lake(given.lake).read("curation/corrections/0001-import.parquet").equals(curated())
    assert later == []
    assert unseen(given, database, release).passed


def test_one_that_has_seen_the_test_does_not_pass(
    loop: Loop, given: Settings, database: sa.Engine, brought: Path, tmp_path: Path
) -> None:
    rows(tmp_path / "rows.jsonl", "lamp one on", HELD_OUT.upper())
    assert loop("import", "adapter", brought, "--trained-on", tmp_path).exit_code == 0
    with database.begin() as connection:
        found = arrivals.find(connection, given.data_dir, "0001-import")
        assert found is not None
        arrived, folder = found
        record = {"data_sha256": arrived.data_sha256, "corrections": arrived.rows, "replay": 0}
        name = registry.register(
            connection,
            cycle="0001-import",
            parent=arrived.sits_on,
            adapter="ab" * 32,
            adapter_path=folder,
            weights_path=folder,
            drill=False,
            record=record,
        )
        release = registry.find(connection, name)
    refused = unseen(given, database, release)
    assert not refused.passed
    assert "1 of them leaked" in refused.sentence


def test_what_is_no_adapter_or_no_row_opens_no_cycle(
    loop: Loop, given: Settings, database: sa.Engine, brought: Path, tmp_path: Path
) -> None:
    good = rows(tmp_path / "rows.jsonl", "lamp one on")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "on"}]}\n{"text": "off"}\n')
    empty, pickled = tmp_path / "empty", tmp_path / "pickled"
    empty.mkdir()
    shutil.copytree(brought, pickled)
    (pickled / "optimizer.pt").write_bytes(b"PK")
    for folder, trained_on, base, why in (
        (empty, good, None, "it is no adapter, and no model"),
        (pickled, good, None, "may be a pickle"),
        (brought, bad, None, "line 2: it has no conversation in any of messages, chosen"),
        (brought, empty, None, "has no .jsonl file"),
        (brought, good, "r-unknown", "there is no release 'r-unknown'"),
    ):
        options = ["--base", base] if base else []
        said = loop("import", "adapter", folder, "--trained-on", trained_on, *options)
        assert said.exit_code == 1
        assert why in said.output
    with database.connect() as connection:
        assert due.open_cycle(connection) is None


def test_an_import_takes_no_drills_place(
    loop: Loop, given: Settings, database: sa.Engine, brought: Path, tmp_path: Path
) -> None:
    with database.begin() as connection:
        registry.register(
            connection,
            cycle=CYCLE,
            parent=None,
            adapter="cd" * 32,
            adapter_path=brought,
            weights_path=brought,
            drill=False,
            record={},
        )
    file = rows(tmp_path / "rows.jsonl", "lamp one on")
    assert loop("import", "adapter", brought, "--trained-on", file).exit_code == 0
    assert loop("import", "adapter", brought, "--trained-on", file).exit_code == 0
    with database.connect() as connection:
        assert due.drill_due(connection) == CYCLE
        names = connection.scalars(sa.select(cycles.c.cycle).order_by(cycles.c.cycle)).all()
    assert names == ["0001", "0001-import", "0001-import-2"]
