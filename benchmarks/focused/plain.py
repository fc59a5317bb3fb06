"""The peer: TRL's `SFTTrainer` with a LoRA on every linear layer, on the corrections alone.

TRL's defaults, but for what is given, the answers as the only labels, and no gradient checkpointing
(ours keeps its activations too). It starts from the champion's merged weights. Run by the engine
environment, which has TRL. Writes merged weights and `trl.json`; the first step warms up and does
not count for tokens/s.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, TrainerState
from trl import SFTConfig, SFTTrainer

from loop_platform.engine import precision, rows
from loop_platform.engine.lifetime import die_with_parent


class Watch(TrainerCallback):  # type: ignore[misc] # transformers is untyped
    """Tokens and seconds since the first step was done."""

    def __init__(self) -> None:
        self.began: tuple[float, int] | None = None

    def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        if self.began is None:
            self.began = time.perf_counter(), state.num_input_tokens_seen

    def tokens_per_s(self, state: TrainerState) -> float:
        assert self.began is not None
        seconds, before = self.began
        seen: int = state.num_input_tokens_seen
        return (seen - before) / (time.perf_counter() - seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--epochs", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--tokens", type=int, required=True, help="of a step, on average")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    die_with_parent()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    known = rows.read(given.rows, tokenizer, replay=False, max_tokens=2048)
    labelled = [
        {"input_ids": row.ids, "labels": [-100] * row.answer_from + [*row.ids[row.answer_from :]]}
        for row in known
    ]
    together = max(1, round(given.tokens / statistics.mean(len(row.ids) for row in known)))
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(given.model, dtype=precision.computing()),
            args=SFTConfig(
                folder,
                per_device_train_batch_size=together,
                num_train_epochs=given.epochs,
                max_steps=given.max_steps,
                learning_rate=given.rate,
                bf16=precision.has_bfloat16(),
                use_cpu=not torch.cuda.is_available(),
                gradient_checkpointing=False,
                include_num_input_tokens_seen="non_padding",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=given.seed,
            ),
            train_dataset=Dataset.from_list(labelled),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                task_type="CAUSAL_LM",
                r=given.rank,
                lora_alpha=given.rank,
                lora_dropout=0.0,
                target_modules="all-linear",
            ),
            callbacks=[watch],
        )
        trainer.train()
        said = {"tokens_per_s": watch.tokens_per_s(trainer.state), "rows_per_step": together}
        said |= {"steps": trainer.state.global_step}
    merged = trainer.model.merge_and_unload().to(torch.bfloat16)
    merged.save_pretrained(given.out, safe_serialization=True)
    tokenizer.save_pretrained(given.out)
    (given.out / "trl.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
