"""A run that comes to harm on its way: memory that runs out, a loss that is no number."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import engine, job

# A training in which the loss of some step is computed by somebody less fortunate.
_RUN = """
import json, sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from loop_platform.engine import adapter, lessons
from loop_platform.engine.job import decode
from loop_platform.engine.losses import Loss
from loop_platform.engine.network import Network
from loop_platform.engine.room import NoRoomError
from loop_platform.engine.rows import read

given, harm, at = decode(json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(given.base)
rows = read(Path(given.corrections), tokenizer, replay=False, max_tokens=256)
rows += read(Path(given.replay), tokenizer, replay=True, max_tokens=256)
model = AutoModelForCausalLM.from_pretrained(given.base, dtype=torch.bfloat16)
network = Network(adapter.fresh(model, given.recipe.rank, given.recipe.alpha, 5))
plain, calls, before = lessons.loss, [0], {}

def hurt(network, batch, anchor, weight):
    if not batch.replayed:
        calls[0] += 1
        before[calls[0]] = [w.detach().clone() for w in network.parameters]
    if not batch.replayed and calls[0] == at:
        if harm == "cpu":
            torch.empty(1 << 60, dtype=torch.uint8)
        if harm == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if harm == "nan":
            found = plain(network, batch, anchor, weight)
            return Loss(found.total * float("nan"), float("nan"), None)
    if harm == "always":
        torch.empty(1 << 60, dtype=torch.uint8)
    return plain(network, batch, anchor, weight)

lessons.loss = hurt
said = []
try:
    progress = lessons.Lessons(network, rows, given.recipe, fresh=True).run(said.append)
except (lessons.TrainingError, NoRoomError) as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
else:
    kept = before.get((progress.kept or 0) + 1, [])
    print(json.dumps({
        "stopped": progress.stopped, "kept": progress.kept, "halvings": progress.out_of_memory,
        "curve": [point.surprise for point in progress.curve], "said": said,
        "divergence": [point.divergence for point in progress.curve],
        "as kept": all(torch.equal(a, b) for a, b in zip(kept, network.parameters)),
    }))
"""


def run(folder: Path, tiny: Path, harm: str = "none", at: int = 0, **recipe: object) -> Any:
    given = job(folder, tiny, **recipe)
    return json.loads(engine("-c", _RUN, json.dumps(given), harm, str(at)).stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def unhurt(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("unhurt"), tiny, max_steps=20, tokens_per_step=1024)


@pytest.mark.parametrize("harm", ["cpu", "cuda"])
def test_memory_that_runs_out_halves_what_is_computed_at_once_and_changes_nothing_else(
    tiny: Path, tmp_path: Path, unhurt: Any, harm: str
):
    found = run(tmp_path, tiny, harm, 5, max_steps=20, tokens_per_step=1024)

    assert found["halvings"] == [{"doing": "step 5", "unit": "tokens", "at_once": 512}]
    assert "memory ran out in step 5: from now on 512 tokens at once" in found["said"]
    assert found["stopped"] is None
    assert found["curve"] == pytest.approx(unhurt["curve"], rel=0.02)
    assert unhurt["halvings"] == []


def test_a_batch_in_parts_gives_what_it_gives_whole(tiny: Path, tmp_path: Path, unhurt: Any):
    """Two halvings leave parts of one row: their means, by tokens, are the batch's."""
    whole = run(tmp_path, tiny, max_steps=3, tokens_per_step=512)
    parts = run(tmp_path, tiny, "cpu", 1, max_steps=3, tokens_per_step=512)

    assert parts["halvings"][0]["doing"] == "step 1"
    assert parts["curve"][0] == pytest.approx(whole["curve"][0], rel=5e-3)
    assert parts["curve"] == pytest.approx(whole["curve"], rel=0.02)


def test_where_there_is_no_memory_for_a_row_the_run_is_refused(tiny: Path, tmp_path: Path):
    assert run(tmp_path, tiny, "always")["error"].startswith(
        "NoRoomError: memory ran out in step 1"
    )


def test_a_loss_that_is_no_number_ends_with_the_last_good_state(tiny: Path, tmp_path: Path):
    found = run(tmp_path, tiny, "nan", 48, max_steps=60)

    assert found["stopped"] == (
        "the loss is nan after 47 steps: the training diverged; the last good state is"
        " that after 40 steps"
    )
    assert (found["kept"], len(found["curve"])) == (40, 47)
    assert found["as kept"]


def test_a_loss_that_is_no_number_before_anything_was_good_keeps_nothing(
    tiny: Path, tmp_path: Path
):
    error = run(tmp_path, tiny, "nan", 15, max_steps=60)["error"]

    assert error.startswith("TrainingError: the loss is nan after 14 steps")
    assert "lower the recipe's learning rate of 0.02" in error
