"""Preference of the chosen over the rejected answer, against the formula computed by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import BY_HAND, engine, job, outcome, train

# In float32, where differences are rounding and nothing else. By hand: rows one by one through the
# plain model, without adapter for the champion, and equation 7 of arXiv:2305.18290.
_COMPARE = (
    BY_HAND
    + """
from loop_platform.engine.preference import Pairs
from loop_platform.engine.rows import sift_pairs

chosen, rejected, refused = sift_pairs(Path(file), tokenizer, max_tokens=256)
assert not refused
ended = [[row.ids[-1] == tokenizer.eos_token_id for row in side] for side in (chosen, rejected)]

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

one = adapted()
told = {"expected": by_hand(one), "ended": ended}
for at_once in (4096, 1):
    two = adapted()
    mean, parts = ours(two, at_once)
    worst = max(float((a - b).norm() / a.norm()) for a, b in zip(gradients(one), gradients(two)))
    told[at_once] = {"found": mean, "parts": parts, "gradient": worst}
print(json.dumps(told))
"""
)


def preferences(folder: Path) -> str:
    """Answers of different lengths, after prompts of different lengths."""
    rows = [
        {
            "messages": [{"role": "user", "content": f"light in the {room}"}],
            "answer": json.dumps({"room": room}),
            "rejected": "I cannot " + "do that " * number,
            "rejected_ended": number != 2,
        }
        for number, room in enumerate(("hall", "attic", "garage", "office"), 1)
    ]
    file = folder / "preferences.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_loss_and_gradients_are_the_formulas_whole_and_in_parts(tiny: Path, tmp_path: Path):
    done = engine("-c", _COMPARE, str(tiny), preferences(tmp_path))
    told = json.loads(done.stdout.splitlines()[-1])

    # An answer that was cut did not end where it breaks off.
    assert told["ended"] == [[True] * 4, [True, False, True, True]]
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
