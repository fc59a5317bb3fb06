"""Liked and disliked answers, against the formula computed by hand and against TRL's."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import BY_HAND, engine, job, outcome, train

# The loss of section 4 of arXiv:2402.01306, and TRL's trainer on the same log-probabilities.
_COMPARE = (
    BY_HAND
    + """
from collections import defaultdict
from types import SimpleNamespace
from accelerate import Accelerator
from trl import KTOTrainer
from loop_platform.engine.rows import Row, sift_thumbs
from loop_platform.engine.team import Team
from loop_platform.engine.thumbs import Thumbs

liked, disliked, refused = sift_thumbs(Path(file), tokenizer, max_tokens=256)
assert not refused
answers = liked + disliked
others = answers[1:] + answers[:1]
strangers = [
    Row(row.ids[:row.answer_from] + other.ids[other.answer_from:], row.answer_from, False)
    for row, other in zip(answers, others)
]
signs = [1] * len(liked) + [-1] * len(disliked)
weights = [len(answers) / 2 / len(liked)] * len(liked)
weights += [len(answers) / 2 / len(disliked)] * len(disliked)

def before(made, row):
    with torch.no_grad(), made.disable_adapter():
        return said(made, row)

def by_hand(made):
    moved(made)
    with torch.no_grad():
        z = sum(said(made, row) - before(made, row) for row in strangers) / len(strangers)
    z = z.clamp(min=0)
    total = 0.0
    for row, sign, weight in zip(answers, signs, weights):
        value = torch.sigmoid(BETA * sign * (said(made, row) - before(made, row) - z))
        total = total + weight * (1 - value) / len(answers)
    (WEIGHT * total).backward()
    return float(total), float(z)

def trls(made):
    trainer = object.__new__(KTOTrainer)
    trainer.accelerator = Accelerator(cpu=True)
    trainer.calculate_KL = trainer.precompute_ref_logps = True
    trainer.aux_loss_enabled = False
    trainer.loss_type, trainer.beta = "kto", BETA
    trainer.desirable_weight, trainer.undesirable_weight = weights[0], weights[-1]
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    trainer._metrics = {"train": defaultdict(list)}
    now = torch.stack([said(made, row) for row in answers]).detach()
    strange = torch.stack([said(made, row) for row in strangers]).detach()
    trainer._compute_kl_logps = lambda model, batch: strange
    column = now[:, None]
    outputs = SimpleNamespace(log_probs=column, entropy=column, mean_logits=column)

    class Said:
        training = True

        def __call__(self, **_):
            return outputs

    trainer.model = Said()
    ids = torch.zeros(len(answers), 2, dtype=torch.long)
    inputs = {
        "label": torch.tensor([sign > 0 for sign in signs]),
        "input_ids": ids, "attention_mask": ids + 1, "completion_mask": ids,
        "ref_logps": torch.stack([before(made, row) for row in answers]),
        "ref_KL_logps": torch.stack([before(made, row) for row in strangers]),
    }
    return float(trainer._compute_loss(trainer.model, inputs, False))

def ours(made, at_once):
    network, thumbs = Network(made), Thumbs(liked, disliked, 256)
    thumbs.remember(network, at_once, Lanes())
    moved(made)
    every = list(range(len(thumbs)))
    reference = thumbs.reference(network, every, at_once, Team())
    parts = thumbs.parts(every, at_once)
    mean = 0.0
    for part in parts:
        found, _ = thumbs.loss(network, part, reference, beta=BETA, weight=WEIGHT)
        share = len(part) / len(thumbs)
        (share * found.total).backward()
        mean += share * found.thumbs
    return mean, len(parts), reference

one = adapted()
expected, z = by_hand(one)
told = {"expected": expected, "z": z, "trl": trls(one)}
for at_once in (4096, 1):
    two = adapted()
    mean, parts, reference = ours(two, at_once)
    worst = max(float((a - b).norm() / a.norm()) for a, b in zip(gradients(one), gradients(two)))
    told[at_once] = {"found": mean, "parts": parts, "z": reference, "gradient": worst}
print(json.dumps(told))
"""
)


def rated(folder: Path, liked: int = 3, disliked: int = 2) -> str:
    """Answers of different lengths, after prompts of different lengths."""
    rows = [
        {
            "messages": [{"role": "user", "content": "why " * (number + 1)}],
            "answer": "since " * (liked + disliked - number),
            "liked": number < liked,
        }
        for number in range(liked + disliked)
    ]
    file = folder / "thumbs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_loss_and_gradients_are_the_formulas_whole_and_in_parts(tiny: Path, tmp_path: Path):
    done = engine("-c", _COMPARE, str(tiny), rated(tmp_path))
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["z"] > 0
    assert told["expected"] != pytest.approx(0.5, rel=0.01)
    assert told["trl"] == pytest.approx(told["expected"], rel=1e-5)
    assert (told["4096"]["parts"], told["1"]["parts"]) == (1, 5)
    for found in (told["4096"], told["1"]):
        assert found["z"] == pytest.approx(told["z"], rel=1e-4)
        assert found["found"] == pytest.approx(told["expected"], rel=1e-4)
        assert found["gradient"] < 1e-3


def _trained(folder: Path, tiny: Path, file: str, **recipe: Any) -> dict[str, Any]:
    given = job(folder, tiny, thumbs_weight=1.0, **recipe) | {"thumbs": file}
    adapter, _ = outcome(train(given, folder))
    record: dict[str, Any] = json.loads((adapter / "training.json").read_text())
    return record


def test_training_tells_liked_answers_from_disliked_ones(tiny: Path, tmp_path: Path):
    record = _trained(tmp_path, tiny, rated(tmp_path, 8, 9), tokens_per_step=512)
    course = [point["thumbs"] for point in record["curve"]]

    assert record["thumbs"] == 17
    assert record["methods"][-1].endswith("8 liked and 9 disliked: KTO")
    # Before the first step the model is the champion, and nothing is more likely than before.
    assert course[0] == pytest.approx(0.5, abs=0.05)
    assert sum(course[-5:]) / 5 < 0.8 * course[0]
    assert record["curve"][-1]["surprise"] < record["curve"][0]["surprise"]


def test_a_few_ratings_are_left_alone_and_the_record_says_so(tiny: Path, tmp_path: Path):
    record = _trained(tmp_path, tiny, rated(tmp_path, 7, 20), max_steps=2)

    assert record["thumbs"] == 0
    assert record["methods"][-1] == (
        "ratings without a correction, 7 liked and 20 disliked: no KTO, which takes 8 of each kind"
    )
    assert [point["thumbs"] for point in record["curve"]] == [None, None]
