"""Our training step beside stock TRL `SFTTrainer`: tokens/s at the same rows, rank and precision.

Both put LoRA on every linear layer of the same base in the machine's precision, learn the answers
alone, and an optimiser step of both takes as many rows. Tokens are those of whole rows, without
padding. TRL runs with its defaults, but for gradient checkpointing: ours keeps its activations too.
Each side has a process of its own; rounds take turns, so that what else the machine does falls on
both alike. The first step of a run warms up and does not count.

On a CPU the base is the packaged model; where a CUDA device is there, the shape of an
8-billion-parameter Llama with random weights.

    .venv-engine/bin/python -m benchmarks.training --steps 12 --json
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerState,
)

from loop_platform.engine import adapter, base_model, batches, precision, rows
from loop_platform.engine.job import Recipe
from loop_platform.engine.lessons import Lessons
from loop_platform.engine.network import Network

SIDES = ("ours", "trl")
ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / ".cache" / "benchmarks" / "smollm2-135m-instruct"
RATE = 1e-4

Result = dict[str, Any]

VERBS = ("switch on", "turn off", "dim", "brighten", "check", "what is up with")
THINGS = ("the lights", "the heating", "every curtain", "the coffee machine", "the radio")
ROOMS = ("hall", "attic", "garage", "office", "kitchen", "children's bedroom", "guest room")
TASK = "Answer with the command's intent and slots as one JSON object."
TOPICS = ("shoelaces", "small businesses", "the tides", "bread", "old maps", "chess", "tax", "owls")
SAID = "and it is often said that this depends on how much time there is and who does it when"


def commands(n: int, chance: random.Random) -> list[dict[str, object]]:
    """Short answers under one system prompt: some 50 tokens each."""
    made = []
    for _ in range(n):
        verb, thing, room = (chance.choice(words) for words in (VERBS, THINGS, ROOMS))
        answer = {"intent": verb.title().replace(" ", ""), "slots": {"name": thing, "area": room}}
        asked = {"role": "user", "content": f"{verb} {thing} in the {room}"}
        made.append(
            {"messages": [{"role": "system", "content": TASK}, asked], "answer": json.dumps(answer)}
        )
    return made


def chats(n: int, chance: random.Random) -> list[dict[str, object]]:
    """Free text of differing length, cut as replay is: some 80 tokens each."""
    made = []
    for _ in range(n):
        topic = chance.choice(TOPICS)
        said = " ".join(chance.choices(SAID.split(), k=chance.randint(25, 60)))
        asked = {"role": "user", "content": f"What should I know about {topic}?"}
        made.append({"messages": [asked], "answer": f"About {topic}: {said}", "ended": False})
    return made


def encoded(count: int, tokenizer: PreTrainedTokenizerBase) -> list[rows.Row]:
    """Seven commands to three chats, as a cycle has."""
    chance = random.Random(7)
    kinds = {False: commands(count - count * 3 // 10, chance), True: chats(count * 3 // 10, chance)}
    found: list[rows.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for replay, made in kinds.items():
            file = Path(folder, "rows.jsonl")
            file.write_text("".join(json.dumps(row) + "\n" for row in made))
            found += rows.read(file, tokenizer, replay=replay, max_tokens=2048)
    return found


def base() -> PreTrainedModel:
    """The base model, in the machine's precision, on the device."""
    if not torch.cuda.is_available():
        return AutoModelForCausalLM.from_pretrained(BASE, dtype=precision.computing())
    shape = LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    )
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)


class Clock:
    """Seconds on the wall and of CPU since it was started."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._began = (time.perf_counter(), self._cpu())

    def result(self, tokens: int, steps: int) -> Result:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() / 1e9
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        wall, cpu = time.perf_counter() - self._began[0], self._cpu() - self._began[1]
        return {
            "tokens_per_s": round(tokens / wall, 1),
            "cpu_seconds_per_step": round(cpu / steps, 3),
            "seconds_per_step": round(wall / steps, 3),
            "tokens": tokens,
            "peak_gb": round(peak, 2),
        }

    @staticmethod
    def _cpu() -> float:
        spent = os.times()
        return spent.user + spent.system


def recipe(given: argparse.Namespace, steps: int) -> Recipe:
    return Recipe(
        rank=given.rank,
        alpha=given.rank,
        learning_rate=RATE,
        epochs=1.0,
        max_steps=steps,
        tokens_per_step=given.tokens,
        replay_rows=0,
        divergence_weight=0.0,
        seed=7,
    )


def ours(
    given: argparse.Namespace, tokenizer: PreTrainedTokenizerBase, known: list[rows.Row]
) -> Result:
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    network = Network(adapter.fresh(base(), given.rank, given.rank, 7))
    Lessons(network, known, recipe(given, 1), fresh=True).run(note)
    clock = Clock()
    progress = Lessons(network, known, recipe(given, given.steps), fresh=True).run(note)
    return clock.result(progress.tokens, given.steps)


def trl(
    given: argparse.Namespace, tokenizer: PreTrainedTokenizerBase, known: list[rows.Row]
) -> Result:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    class Watch(TrainerCallback):  # type: ignore[misc] # transformers is untyped
        """Starts the clock when the first step is done."""

        before = 0

        def on_step_end(
            self, args: object, state: TrainerState, control: object, **_: object
        ) -> None:
            if state.global_step == 1:
                clock.start()
                self.before = state.num_input_tokens_seen

    clock, watch = Clock(), Watch()
    lora = {"r": given.rank, "lora_alpha": given.rank, "target_modules": "all-linear"}
    answers = [
        {"input_ids": row.ids, "labels": [-100] * row.answer_from + [*row.ids[row.answer_from :]]}
        for row in known
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            base(),
            args=SFTConfig(
                folder,
                per_device_train_batch_size=rows_per_step(given, known),
                max_steps=given.steps + 1,
                learning_rate=RATE,
                bf16=precision.has_bfloat16(),
                use_cpu=not torch.cuda.is_available(),
                gradient_checkpointing=False,
                include_num_input_tokens_seen="non_padding",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(answers),
            processing_class=tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **lora),
            callbacks=[watch],
        )
        trainer.train()
        return clock.result(trainer.state.num_input_tokens_seen - watch.before, given.steps)


def rows_per_step(given: argparse.Namespace, known: list[rows.Row]) -> int:
    """What one step of ours takes, on average."""
    planned = batches.steps(known, given.tokens, 7)
    return round(statistics.mean(sum(map(len, next(planned))) for _ in range(100)))


def note(line: str) -> None:
    print(line, file=sys.stderr)


def one(side: str, given: argparse.Namespace) -> Result:
    torch.set_num_threads(os.cpu_count() or 1)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    known = encoded(given.rows, tokenizer)
    return {"ours": ours, "trl": trl}[side](given, tokenizer, known)


def elsewhere(side: str, arguments: list[str]) -> Result:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--side", side, *arguments]
    # As the training program sets it: threads wait a millisecond at a barrier before they sleep.
    environment = os.environ | {"GOMP_SPINCOUNT": "20000"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True, env=environment
    )
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(given: argparse.Namespace, arguments: list[str]) -> Result:
    base_model.prepare("packaged:smollm2-135m-instruct", BASE)
    runs: dict[str, list[Result]] = {side: [] for side in SIDES}
    for _ in range(given.rounds):
        for side in SIDES:
            runs[side].append(elsewhere(side, arguments))
            note(f"{side}: {runs[side][-1]}")
    middle = {
        figure: {side: statistics.median(run[figure] for run in runs[side]) for side in SIDES}
        for figure in ("tokens_per_s", "cpu_seconds_per_step", "seconds_per_step", "peak_gb")
    }
    gpu = torch.cuda.is_available()
    return {
        "ours_over_trl": round(
            statistics.median(
                a["tokens_per_s"] / b["tokens_per_s"]
                for a, b in zip(runs["ours"], runs["trl"], strict=True)
            ),
            3,
        ),
        **middle,
        "device": torch.cuda.get_device_name() if gpu else f"CPU, {os.cpu_count()} threads",
        "model": "Llama, 8 billion random weights" if gpu else BASE.name,
        "rows": given.rows,
        "rank": given.rank,
        "steps": given.steps,
        "rounds": given.rounds,
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=470)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=1024, help="of a step")
    parser.add_argument("--json", action="store_true", help="the last line as JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one(given.side, given)))
        return
    arguments = [
        part
        for name in ("rows", "steps", "rank", "tokens")
        for part in (f"--{name}", str(getattr(given, name)))
    ]
    found = compared(given, arguments)
    if given.json:
        print(json.dumps(found))
        return
    rates, ratio = found["tokens_per_s"], found["ours_over_trl"]
    print(
        f"{found['model']} on {found['device']}: ours {rates['ours']:.0f} tokens/s, TRL"
        f" {rates['trl']:.0f}; {ratio:.2f} times"
    )


if __name__ == "__main__":
    main()
