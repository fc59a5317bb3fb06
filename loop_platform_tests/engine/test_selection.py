"""Which state of a run is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform.engine.probe import Probe, Probed
from loop_platform.engine.rows import Row
from loop_platform.engine.selection import Selection
from loop_platform_tests.engine.programs import engine, job

_APART = [
    *[Row((1, 2, 3, 4), 2, replay=False, apart=True) for _ in range(10)],
    Row((1, 2, 3, 4), 2, replay=True, apart=True),
]


def chosen(*found: tuple[float, float, float | None]) -> tuple[Selection, float]:
    """Of states with these figures (exact, surprise, divergence) the kept one's place, from 1, and
    the selection that kept it."""
    import torch

    weight = torch.zeros(1)
    selection = Selection(Probe(_APART), 0.1, steps=60, tokens=10**6)
    for at, figures in enumerate(found, 1):
        weight.fill_(at)
        selection.consider(Probed(10 * at, *figures), [weight])
    weight.fill_(float("nan"))
    selection.bring_back([weight])
    return selection, weight.item()


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ([(0.5, 0.9, 0.01), (0.8, 0.4, 0.02), (0.7, 0.3, 0.01)], 2),
        ([(0.8, 0.3, 0.02), (0.8, 0.4, 0.03), (0.7, 0.2, 0.01)], 2),  # as many, and later
        ([(0.5, 0.9, 0.1), (0.9, 0.1, 0.11)], 1),  # the better one forgets too much
        ([(0.2, 2.0, 0.4), (0.9, 0.1, 0.3), (0.9, 0.1, 0.5)], 2),  # none holds: the nearest
        ([(0.9, 0.1, 0.3), (0.0, 9.0, 0.1)], 2),  # one that holds is better than any that does not
        ([(0.5, 0.9, None), (0.8, 0.4, None)], 2),
    ],
)
def test_the_best_on_focus_of_those_that_hold_retention_is_kept(
    found: list[tuple[float, float, float | None]], place: int
):
    selection, weight = chosen(*found)

    assert weight == place
    assert selection.kept is not None
    assert selection.kept.step == 10 * place


@pytest.mark.parametrize(
    ("found", "place", "said"),
    [
        ([(0.5, 0.9), (0.8, 0.86), (0.9, 0.84)], 2, "the best on focus"),
        ([(0.8, 0.9), (0.8, 0.92), (0.8, 0.86)], 2, "the best on focus"),
        ([(0.9, 0.2), (0.5, 0.7), (0.8, 0.7)], 2, "forgot too many earlier corrections, and it"),
    ],
)
def test_a_state_that_forgets_what_earlier_cycles_taught_is_kept_where_all_do_and_it_least(
    found: list[tuple[float, float]], place: int, said: str
):
    """`found`: exact, and the share of the earlier corrections; of these the champion gives 90 %.
    At equal shares the nearer to the champion is kept."""
    import torch

    selection = Selection(Probe(_APART), 0.1, steps=60, tokens=10**6)
    selection.probed.append(Probed(0, 0.0, 2.0, 0.0, 0.9))
    for at, (exact, earlier) in enumerate(found, 1):
        probed = Probed(10 * at, exact, 1.0, 0.01 * at, earlier)
        selection.consider(probed, [torch.zeros(1)])

    assert selection.kept is not None
    assert selection.kept.step == 10 * place
    assert said in selection.reason


def test_the_reason_is_said_in_words():
    holds, _ = chosen((0.5, 0.9, 0.01), (0.8, 0.4, 0.02), (0.9, 0.1, 0.2))
    assert holds.reason == (
        "the state after 20 steps: the best on focus (80% of 10 corrections held apart word by"
        " word, 0.4000 nats a token) of the 2 that hold retention, of 3 that were measured; 0.0200"
        " nats a token from the champion, with a limit of 0.1"
    )
    none, _ = chosen((0.5, 0.9, 0.4), (0.8, 0.4, 0.3))
    assert none.reason == (
        "the state after 20 steps: none of the 2 that were measured is within 0.1 nats a token of"
        " the champion, and it is the nearest, with 0.3000"
    )
    assert "nobody looked at retention" in chosen((0.5, 0.9, None))[0].reason


def test_a_state_of_which_nothing_can_be_told_is_no_choice():
    with pytest.raises(ArithmeticError, match="no number"):
        chosen((0.0, float("nan"), 0.01))


def test_the_last_state_is_measured_and_others_as_often_as_a_twentieth_of_the_time_allows():
    probe = Probe(_APART)  # 44 tokens

    def steps(tokens: int) -> list[int]:
        selection = Selection(probe, 0.1, steps=100, tokens=tokens)
        return [step for step in range(1, 101) if selection.due(step)]

    assert steps(10**6) == [17, 34, 50, 67, 84, 100]
    assert steps(44 * 50) == [20, 40, 60, 80, 100]
    assert steps(44) == [50, 100]
    assert not Selection(Probe([]), 0.1, steps=100, tokens=10**6).due(100)


# A whole run, and after it what the weights that are kept are found to be.
_RUN = """
import json, sys, torch
from dataclasses import asdict, replace
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from loop_platform.engine import adapter, lessons
from loop_platform.engine.job import decode
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.network import Network
from loop_platform.engine.probe import Probe
from loop_platform.engine.rows import read

given = decode(json.loads(sys.argv[1]))
torch.set_num_threads(1)
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(given.base)
rows = read(Path(given.corrections), tokenizer, replay=False, max_tokens=256)
replay = read(Path(given.replay), tokenizer, replay=True, max_tokens=256)
probe = Probe([replace(row, apart=True) for row in (rows[0], replay[0], replay[3])])
model = AutoModelForCausalLM.from_pretrained(given.base, dtype=torch.float32)
network = Network(adapter.fresh(model, given.recipe.rank, given.recipe.alpha, 5))
said = []
run = lessons.Lessons(
    network, rows[1:] + replay[1:3], given.recipe, fresh=True, probe=probe
)
progress = run.run(said.append)

def by_hand(row):
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        ours = model(input_ids=ids).logits[0, row.answer_from - 1:-1].log_softmax(-1)
        theirs = before(input_ids=ids).logits[0, row.answer_from - 1:-1].log_softmax(-1)
    answer = ids[0, row.answer_from:]
    surprise = -ours.gather(1, answer[:, None]).mean()
    return surprise, (theirs.exp() * (theirs - ours)).sum(-1), (ours.argmax(-1) == answer).all()

model = network.adapted
before = AutoModelForCausalLM.from_pretrained(given.base, dtype=torch.float32)
found = [by_hand(row) for row in probe.rows]
print(json.dumps({
    "probes": [asdict(each) for each in progress.probes], "kept": progress.kept,
    "said": said,
    "hand": {"surprise": float(found[0][0]), "exact": float(found[0][2]),
             "divergence": float(torch.cat([found[1][1], found[2][1]]).mean())},
}))
"""


def test_what_is_kept_is_what_was_measured(tiny: Path, tmp_path: Path):
    """No state is within a limit of 0, so the nearest is kept, which is not the last."""
    given = job(tmp_path, tiny, max_steps=24, retention_limit=0.0, divergence_weight=0.0)
    found: Any = json.loads(engine("-c", _RUN, json.dumps(given)).stdout.splitlines()[-1])

    start, *states = found["probes"]
    assert start["step"] == 0
    assert start["divergence"] == pytest.approx(0, abs=1e-6)
    assert states[-1]["step"] == 24
    nearest = min(states, key=lambda state: state["divergence"])
    assert nearest["step"] == found["kept"] < 24
    assert found["hand"]["surprise"] == pytest.approx(nearest["surprise"], rel=1e-3)
    assert found["hand"]["divergence"] == pytest.approx(nearest["divergence"], rel=1e-3)
    assert found["hand"]["exact"] == nearest["exact"]
    assert any(
        line.startswith(f"kept: the state after {found['kept']} steps") for line in found["said"]
    )
