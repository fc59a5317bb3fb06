"""A cycle that is ready for its gates: corrections in the lake, a candidate on an engine."""

import json
from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycles as cycles_table
from loop_platform.defs.resources import resources
from loop_platform.defs.training import inputs
from loop_platform.engine.rows import content_hash
from loop_platform.lake import Lake
from loop_platform.partitions import cycles, hourly
from loop_platform.release import registry, requests
from loop_platform.release.states import State
from loop_platform_tests.evaluation.validator import intent
from loop_platform_tests.release.stage import Stage, weights
from loop_platform_tests.release.test_controller import base_of, ready

_HOURLY = ("telemetry", "monitoring")

CYCLE = "0001"
PROMPTS = [f"turn on lamp {number}" for number in range(40)]


def candidate(
    stage: Stage,
    answers: Mapping[str, str],
    *,
    drill: bool = False,
    digest: str = "feedfacefeed",
    replayed: Sequence[str] = (),
) -> str:
    """A release that answers so, served beside the base model."""
    champion = base_of(stage)
    corrections = pl.DataFrame(
        {
            "decision_id": [f"d{number:02}" for number in range(len(PROMPTS))],
            "task": ["commands"] * len(PROMPTS),
            "messages": [json.dumps([{"role": "user", "content": p}]) for p in PROMPTS],
            "prompt": PROMPTS,
            "cluster": ["commands-0001"] * 36 + ["commands-0002"] * 4,
            "harm": [0.9] * len(PROMPTS),
            "embedding": [[1.0, 0.0]] * len(PROMPTS),
            "chosen": [intent(prompt) for prompt in PROMPTS],
            "split": ["heldout"] * 30 + ["train"] * 10,
        }
    )
    Lake(stage.settings.lake).write(corrections, f"curation/corrections/{CYCLE}.parquet")
    folder = weights(stage.settings.data_dir / "weights" / digest, answers)
    record = trained(stage, CYCLE, corrections.filter(pl.col("split") == "train"), replayed)
    with stage.database.begin() as connection:
        connection.execute(
            sa.insert(cycles_table).values(
                cycle=CYCLE, kind="drill" if drill else "improvement", reason="test"
            )
        )
        name = registry.register(
            connection,
            cycle=CYCLE,
            parent=champion,
            adapter=digest,
            adapter_path=folder,
            weights_path=folder,
            drill=drill,
            record=record,
        )
    stage.until(ready(name))
    return name


def trained(
    stage: Stage, cycle: str, corrections: pl.DataFrame, replayed: Sequence[str] = ()
) -> dict[str, object]:
    """Leaves the files that a training reads, and returns what it would record of them."""
    replay = [
        {"messages": [{"role": "user", "content": said}], "answer": "Well.", "ended": True}
        for said in replayed
    ]
    files = inputs.write(stage.settings.data_dir / "cycles" / cycle, corrections, replay)
    return {
        "data_sha256": content_hash(files.corrections, files.replay),
        "corrections": corrections.height,
        "replay": len(replay),
    }


def learnt() -> dict[str, str]:
    """Answers every command, and everything else as the base model does."""
    return {prompt: intent(prompt) for prompt in PROMPTS} | {"*": "Let me think about {prompt}"}


def materialise(
    stage: Stage, asset: dg.AssetsDefinition, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    """One asset of the cycle, as a run; failed gates do not raise."""
    upstream = [
        dg.AssetSpec(key, partitions_def=hourly if key.path[0] in _HOURLY else cycles)
        for key in asset.dependency_keys
    ]
    instance.add_dynamic_partitions("cycles", [CYCLE])
    return dg.materialize(
        [asset, *upstream],
        partition_key=CYCLE,
        resources=resources(stage.settings),
        instance=instance,
        raise_on_error=False,
        selection=[asset],
    )


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Which gate passed."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def settle(stage: Stage, release: str) -> None:
    """Give the controller the time to handle what was asked."""
    stage.until(lambda connection: not requests.pending(connection, release))


def go_to(stage: Stage, release: str, state: State) -> None:
    """Ask for a move and have it done."""
    request = stage.ask(
        lambda connection: requests.request_move(
            connection, release, state, actor="a test", reason="to go on", evidence={}
        )
    )
    settle(stage, release)
    assert stage.ask(lambda connection: requests.outcome(connection, request)).done
