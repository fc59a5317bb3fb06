"""Two processes that train together, with the frozen weights and every batch divided between them,
come to what one comes to: `make test-cluster`. Half a minute of a core, so not part of `make test`.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from loop_platform.defs.training.launchers import Program, launcher
from loop_platform.engine.job import decode
from loop_platform.settings import EngineSettings, Settings
from loop_platform_tests.engine.programs import PYTHON, job, outcome, train

STEPS = 6


def given(folder: Path, tiny: Path) -> dict[str, Any]:
    """Corrections, replay, pairs and thumbs, of which the last do not go round, and rows held
    apart to choose the state by."""
    weights = {"preference_weight": 0.5, "thumbs_weight": 0.5}
    found = job(folder, tiny, max_steps=STEPS, learning_rate=0.005, **weights)
    for name, asked in (("corrections", "light in the cellar"), ("replay", "say it")):
        apart = {"messages": [{"role": "user", "content": asked}], "answer": "{}", "apart": True}
        with Path(found[name]).open("a") as file:
            file.write(json.dumps(apart) + "\n")
    thumbs = [
        {
            "messages": [{"role": "user", "content": f"tell {at}"}],
            "answer": "so " * (1 + at % 3),
            "liked": at % 2 == 0,
        }
        for at in range(17)
    ]
    pairs = [
        {"messages": [{"role": "user", "content": said}], "answer": "{}", "rejected": "Sure!"}
        for said in ("on", "off", "up")
    ]
    for name, rows in (("preferences", pairs), ("thumbs", thumbs)):
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found[name] = str(file)
    return found


def together(asked: dict[str, Any], data_dir: Path) -> dict[str, Any]:
    """The record of two processes, by the local launcher."""
    settings = Settings(data_dir=data_dir, engine=EngineSettings(python=PYTHON))
    program = Program("loop_platform.engine.train", {"job": asked}, processes=2)

    @dg.asset
    def adapter(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return launcher(settings).launch(context, settings, program)

    result = dg.materialize([adapter])
    [made] = result.asset_materializations_for_node("adapter")
    record: Any = made.metadata["record"].value
    return dict(record)


def test_two_processes_have_one_loss_curve_and_give_one_adapter(tiny: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    asked = given(shared, tiny)
    two = together(asked, tmp_path)
    single, _ = outcome(train(given(alone, tiny), alone))
    one = json.loads((single / "training.json").read_text())

    assert (one["processes"], two["processes"]) == (1, 2)
    for name in ("surprise", "divergence", "preference", "thumbs"):
        curves = [[point[name] for point in record["curve"]] for record in (one, two)]
        assert len(curves[0]) == STEPS
        assert curves[1][0] == pytest.approx(curves[0][0], rel=1e-4, abs=1e-6)
        assert curves[1] == pytest.approx(curves[0], rel=0.02, abs=1e-4)
    assert one["curve"][-1]["surprise"] < 0.98 * one["curve"][0]["surprise"]
    assert [point["tokens"] for point in one["curve"]] == [p["tokens"] for p in two["curve"]]
    probes = [[probe["surprise"] for probe in record["probes"]] for record in (one, two)]
    assert len(probes[0]) > 1
    assert probes[1] == pytest.approx(probes[0], rel=0.02)
    assert (one["thumbs"], two["kept_after"]) == (17, one["kept_after"])
    places = decode(asked)
    for place in (places.adapters, places.weights):
        assert [folder.name for folder in Path(place).iterdir()] == [two["adapter"]]
