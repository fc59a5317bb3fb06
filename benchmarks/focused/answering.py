"""A model's greedy answers to rows, as JSON lines `{"text", "ids", "ended"}` in their order.

Batches are made of the prompts alone, so every model answers in the same company. Run by the engine
environment. With `--schema` the answer is held to it (xgrammar), as an engine's guided JSON is.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from loop_platform.engine import precision
from loop_platform.engine.lifetime import die_with_parent

Row = dict[str, Any]

_TOGETHER = 16


def answers(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    rows: list[Row],
    given: argparse.Namespace,
) -> list[Row]:
    """In the rows' order."""
    prompts = [
        tokenizer.apply_chat_template(row["messages"], add_generation_prompt=True, tokenize=False)
        for row in rows
    ]
    order = sorted(range(len(rows)), key=lambda number: (-len(prompts[number]), number))
    found: dict[int, Row] = {}
    said = time.monotonic()
    for start in range(0, len(order), _TOGETHER):
        some = order[start : start + _TOGETHER]
        batch = tokenizer(
            [prompts[number] for number in some],
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        ).to(model.device)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            made = model.generate(
                **batch,
                do_sample=False,
                max_new_tokens=given.max_tokens,
                pad_token_id=tokenizer.eos_token_id,
                logits_processor=_guide(model, tokenizer, given.schema),
            )
        for number, ids in zip(some, made[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            ended = tokenizer.eos_token_id in ids
            kept = ids[: ids.index(tokenizer.eos_token_id)] if ended else ids
            text = tokenizer.decode(kept, skip_special_tokens=True)
            found[number] = {"text": text, "ids": kept, "ended": ended}
        if time.monotonic() - said > 10 or len(found) == len(rows):
            said = time.monotonic()
            print(f"  {len(found)} of {len(rows)} answers", file=sys.stderr, flush=True)
    return [found[number] for number in range(len(rows))]


def _guide(model: Any, tokenizer: Any, schema: Path | None) -> list[Any] | None:  # noqa: ANN401
    """What holds one batch's answers to the schema."""
    if schema is None:
        return None
    import xgrammar
    from xgrammar.contrib.hf import LogitsProcessor

    about = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=model.config.vocab_size)
    compiled = xgrammar.GrammarCompiler(about).compile_json_schema(schema.read_text())
    return [LogitsProcessor(compiled)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-tokens", type=int, required=True)
    parser.add_argument("--schema", type=Path)
    given = parser.parse_args()
    die_with_parent()
    rows = [json.loads(line) for line in given.rows.read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(given.model, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=precision.computing())
    found = answers(model.to(device).eval(), tokenizer, rows, given) if rows else []
    given.out.write_text("".join(json.dumps(each) + "\n" for each in found))


if __name__ == "__main__":
    main()
