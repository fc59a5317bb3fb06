"""Engine programs as the stack runs them: by the engine environment's Python."""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-engine" / "bin" / "python"

# The smallest thing that is a chat model: two layers, a tokenizer of bytes, a chat template.
_TINY = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

letters = sorted(pre_tokenizers.ByteLevel.alphabet())
special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
vocabulary = {token: number for number, token in enumerate([*special, *letters])}
words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
words.decoder = decoders.ByteLevel()
words.add_special_tokens(special)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, eos_token="<|end|>", pad_token="<|end|>"
)
tokenizer.chat_template = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
torch.manual_seed(3)
config = LlamaConfig(
    vocab_size=len(vocabulary), hidden_size=128, intermediate_size=256, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512,
    tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0,
)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


# For a loss computed by hand: rows one by one through the plain model, in float32, where
# differences are rounding and nothing else; without its adapter the model is the champion.
BY_HAND = """
import json, sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from loop_platform.engine import adapter
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.network import Network

base, file = sys.argv[1:]
BETA, WEIGHT = 0.3, 2.0
tokenizer = AutoTokenizer.from_pretrained(base)

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

def gradients(made):
    return [w.grad for w in made.parameters() if w.requires_grad]
"""


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the engine's Python to its end."""
    done = subprocess.run(
        [str(PYTHON), *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done


def tiny_model(folder: Path) -> Path:
    """Make a tiny, untrained chat model in `folder`."""
    engine("-c", _TINY, str(folder))
    return folder


def job(folder: Path, base: Path, **recipe: object) -> dict[str, Any]:
    """A job on a few rows of commands and replay, in files under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rooms = ("hall", "attic", "garage", "office")
    corrections = [
        {
            "messages": [
                {"role": "system", "content": "Answer with one JSON object."},
                {"role": "user", "content": f"light in the {room}"},
            ],
            "answer": json.dumps({"room": room}),
        }
        for room in rooms
    ]
    replay = [
        {"messages": [{"role": "user", "content": f"say {n}"}], "answer": "mu" * n, "ended": n > 2}
        for n in range(1, 5)
    ]
    given = {
        "rank": 4,
        "alpha": 8,
        "learning_rate": 0.02,
        "epochs": 1.0,
        "max_steps": 30,
        "tokens_per_step": 256,
        "replay_rows": 4,
        "divergence_weight": 1.0,
        "seed": 5,
        **recipe,
    }
    return {
        "base": str(base),
        "base_name": "tiny",
        "parent": None,
        "corrections": _write(folder / "corrections.jsonl", corrections),
        "replay": _write(folder / "replay.jsonl", replay if given["replay_rows"] else []),
        "adapters": str(folder / "adapters"),
        "weights": str(folder / "weights"),
        "recipe": given,
        "threads": 1,
        "max_tokens": 256,
        "cost_per_hour": 3600.0,
        "modes": [
            {
                "name": "home: light, hall",
                "cluster": "home-0001",
                "severity": 0.9,
                "rows": 4,
                "held_out": 1,
            }
        ],
    }


def train(
    given: dict[str, Any], folder: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    file = folder / "job.json"
    file.write_text(json.dumps(given))
    return engine("-m", "loop_platform.engine.train", "--job", str(file), check=check)


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[Path, Path]:
    """Adapter folder and weights folder of a run."""
    said = json.loads(done.stdout.splitlines()[-1])
    return Path(said["adapter"]), Path(said["weights"])


def _write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)
