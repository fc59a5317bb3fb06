"""Preference of the chosen over the rejected answer, against the formula computed by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import engine, job, outcome, train

# In float32, where differences are rounding and nothing else. By hand: rows one by one through the
# plain model, without adapter for the champion, and equation 7 of arXiv:2305.18290.
_COMPARE = """
import json, sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from loop_platform.engine import adapter, lessons
from loop_platform.engine.job import decode
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.network import Network
from loop_platform.engine.preference import Pairs
from loop_platform.engine.rows import sift_pairs

base, file = sys.argv[1:]
BETA, WEIGHT = 0.3, 2.0
tokenizer = AutoTokenizer.from_pretrained(base)
chosen, rejected, refused = sift_pairs(Path(file), tokenizer, max_tokens=256)
assert not refused

def adapted():
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return adapter.fresh(model, 4, 8, 1)

def moved(made):
    torch.manual_seed(2)
    for weight in made.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)

def said(made, row):
    ids = torch.tensor([row.ids])
    scores = made(input_ids=ids).logits[0].log_softmax(-1)
    answer = ids[0, row.answer_from:]
    return scores[row.answer_from - 1:-1].gather(1, answer[:, None]).sum()

def by_hand(made):
    moved(made)
    total = 0.0
    for good, bad in zip(chosen, rejected):
        with torch.no_grad(), made.disable_adapter():
            before = said(made, good) - said(made, bad)
        margin = BETA * (said(made, good) - said(made, bad) - before)
        total = total - torch.log(torch.sigmoid(margin)) / len(chosen)
    (WEIGHT * total).backward()
    return float(total)

def ours(made, at_once):
    network, pairs = Network(made), Pairs(chosen, rejected)
    pairs.remember(network, at_once, Lanes())
    moved(made)
    parts = pairs.parts(range(len(pairs)), at_once)
    mean = 0.0
    for part in parts:
        found, _ = pairs.loss(network, part, beta=BETA, weight=WEIGHT)
        share = len(part) / len(pairs)
        (share * found.total).backward()
        mean += share * found.preference
    return mean, len(parts)

def gradients(made):
    return [w.grad for w in made.parameters() if w.requires_grad]

one = adapted()
told = {"expected": by_hand(one)}
for at_once in (4096, 1):
    two = adapted()
    mean, parts = ours(two, at_once)
    worst = max(float((a - b).norm() / a.norm()) for a, b in zip(gradients(one), gradients(two)))
    told[at_once] = {"found": mean, "parts": parts, "gradient": worst}
print(json.dumps(told))
"""


def preferences(folder: Path) -> str:
    """Answers of different lengths, after prompts of different lengths."""
    rows = [
        {
            "messages": [{"role": "user", "content": f"light in the {room}"}],
            "answer": json.dumps({"room": room}),
            "rejected": "I cannot " + "do that " * number,
        }
        for number, room in enumerate(("hall", "attic", "garage", "office"), 1)
    ]
    file = folder / "preferences.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_loss_and_gradients_are_the_formulas_whole_and_in_parts(tiny: Path, tmp_path: Path):
    done = engine("-c", _COMPARE, str(tiny), preferences(tmp_path))
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["expected"] != pytest.approx(math.log(2), rel=0.01)
    assert (told["4096"]["parts"], told["1"]["parts"]) == (1, 4)
    for found in (told["4096"], told["1"]):
        assert found["found"] == pytest.approx(told["expected"], rel=1e-4)
        assert found["gradient"] < 1e-3


def _trained(folder: Path, tiny: Path, **recipe: Any) -> dict[str, Any]:
    given = job(folder, tiny, **recipe) | {"preferences": preferences(folder)}
    adapter, _ = outcome(train(given, folder))
    record: dict[str, Any] = json.loads((adapter / "training.json").read_text())
    return record


def test_training_prefers_the_chosen_answers_more_and_more(tiny: Path, tmp_path: Path):
    record = _trained(tmp_path, tiny, preference_weight=1.0)
    course = [point["preference"] for point in record["curve"]]

    assert record["preferences"] == 4
    # Before the first step the model is the champion: it prefers nothing to anything.
    assert course[0] == pytest.approx(math.log(2), abs=0.02)
    assert sum(course[-5:]) / 5 < 0.5 * course[0]
    assert record["curve"][-1]["surprise"] < record["curve"][0]["surprise"]


def test_without_a_weight_pairs_are_left_alone(tiny: Path, tmp_path: Path):
    record = _trained(tmp_path, tiny, max_steps=2)

    assert record["preferences"] == 0
    assert [point["preference"] for point in record["curve"]] == [None, None]


def test_a_pair_of_which_one_does_not_fit_is_no_pair(tiny: Path, tmp_path: Path):
    given = job(tmp_path, tiny, max_steps=2, preference_weight=1.0)
    file = preferences(tmp_path)
    long = {"messages": [{"role": "user", "content": "hi"}], "answer": "y", "rejected": "n" * 300}
    with Path(file).open("a") as opened:
        opened.write(json.dumps(long) + "\n")

    adapter, _ = outcome(train(given | {"preferences": file}, tmp_path))

    record = json.loads((adapter / "training.json").read_text())
    assert record["preferences"] == 4
    [refused] = record["refused"]
    assert (refused["file"], refused["line"]) == ("preferences.jsonl", 5)
