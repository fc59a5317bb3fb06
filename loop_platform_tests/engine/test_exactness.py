"""The quick training step gives the losses and gradients of the plain one."""

import json
from pathlib import Path

import pytest

from loop_platform_tests.engine.programs import engine, job

# Both networks in float32, where differences are rounding and nothing else.
_COMPARE = """
import json, sys, torch
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from loop_platform.engine import adapter, vector_math
from loop_platform.engine.batches import collate
from loop_platform.engine.champion import Anchor
from loop_platform.engine.losses import loss
from loop_platform.engine.network import Network
from loop_platform.engine.rows import read

base, corrections, replay, kind = sys.argv[1:]
vector_math.settle()
tokenizer = AutoTokenizer.from_pretrained(base)
rows = read(Path(corrections), tokenizer, replay=False, max_tokens=256)
rows += read(Path(replay), tokenizer, replay=True, max_tokens=256)

def adapted():
    if kind == "llama":
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    else:
        torch.manual_seed(3)
        config = AutoConfig.for_model(
            kind, vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
            tie_word_embeddings=True, pad_token_id=0, sliding_window=24,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    made = adapter.fresh(model, 4, 8, 1)
    torch.manual_seed(2)
    for weight in made.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.2)
    return made

def plain(made, chosen):
    total = 0.0
    for index in chosen:
        row = rows[index]
        ids = torch.tensor([row.ids])
        scores = made(input_ids=ids).logits[0].log_softmax(-1)
        targets = ids[0, row.answer_from:]
        total = total - scores[row.answer_from - 1:-1].gather(1, targets[:, None]).sum()
    total.backward()
    return total

def quick(made, chosen):
    network = Network(made)
    batch = collate(rows, chosen)
    total = loss(network, batch, Anchor({}), 0.0).total * len(batch.targets)
    total.backward()
    return total, network, batch.layout

def gradients(made):
    return [w.grad for w in made.parameters() if w.requires_grad]

said = []
for chosen in ([0, 1, 2, 3], [4, 5, 6, 7], [2]):
    one, two = adapted(), adapted()
    expected = plain(one, chosen)
    found, network, layout = quick(two, chosen)
    worst = max(
        float((a - b).norm() / a.norm()) for a, b in zip(gradients(one), gradients(two))
    )
    said.append({
        "expected": float(expected), "found": float(found), "gradient": worst,
        "fused": len(network.fused), "flat": network.flat, "prefix": layout.prefix,
        "lengths": layout.lengths,
    })
print(json.dumps(said))
"""


@pytest.mark.parametrize(("kind", "flat"), [("llama", True), ("qwen3", True), ("mistral", False)])
def test_fused_layers_own_attention_and_rows_in_one_sequence_change_nothing(
    tiny: Path, tmp_path: Path, kind: str, flat: bool
):
    """The third has a sliding window, which our attention does not cover: its rows are padded."""
    given = job(tmp_path, tiny)

    done = engine("-c", _COMPARE, str(tiny), given["corrections"], given["replay"], kind)
    commands, replayed, single = json.loads(done.stdout.splitlines()[-1])

    for found in (commands, replayed, single):
        assert found["found"] == pytest.approx(found["expected"], rel=1e-5)
        assert found["gradient"] < 1e-4
        assert found["fused"] == 14
        assert found["flat"] is flat
    assert commands["prefix"] > 30
    assert len(set(commands["lengths"])) > 1
    assert single["prefix"] == 0


# Its convolutions look at the tokens before, whatever attention is told.
_CONVOLUTIONS = """
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM
from loop_platform.engine import adapter
from loop_platform.engine.network import Network

config = Lfm2Config(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, pad_token_id=0,
    num_attention_heads=4, num_key_value_heads=2, layer_types=["conv", "full_attention"],
)
print(Network(adapter.fresh(Lfm2ForCausalLM(config), 4, 8, 1)).flat)
"""


def test_rows_of_a_model_that_would_mix_them_up_are_not_laid_one_after_another():
    assert engine("-c", _CONVOLUTIONS).stdout.split() == ["False"]


# Long enough for two threads. The second call is the measure of the first.
_FIRST_CALLS = """
import torch
from loop_platform.engine import vector_math

vector_math.settle()
angles = torch.arange(1 << 16) / 100
for name in ("cos", "sin", "exp", "tanh"):
    function = getattr(torch, name)
    first = function(angles)
    print(name, float((first - function(angles)).abs().nan_to_num().max()))
"""


@pytest.mark.parametrize("process", range(6))
def test_the_first_call_of_a_function_is_as_exact_as_the_second(process: int):
    """Without `settle` about one process in four is off by 1.5e-4 in the cosine."""
    said = engine("-c", _FIRST_CALLS).stdout.split()

    assert said == ["cos", "0.0", "sin", "0.0", "exp", "0.0", "tanh", "0.0"]
