"""How far models have moved from the champion, on the champion's own answers to general prompts.

Of each model and answer, as JSON: `kl`, the sum over its tokens of KL(champion ‖ model) in nats;
`same`, the tokens at which both would say the same; `tokens`. Row by row, without padding, so that
the champion beside itself is at 0. Run by the engine environment.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from loop_platform.engine import precision
from loop_platform.engine.lifetime import die_with_parent

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--champion", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--said", type=Path, required=True, help="the champion's answers")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    die_with_parent()
    tokenizer = AutoTokenizer.from_pretrained(given.champion)
    one, other = (_model(folder) for folder in (given.champion, given.model))
    rows = [json.loads(line) for line in given.rows.read_text().splitlines()]
    said = [json.loads(line) for line in given.said.read_text().splitlines()]
    found = [
        compared(one, other, tokenizer, row, answer)
        for row, answer in zip(rows, said, strict=True)
        if answer["ids"]
    ]
    given.out.write_text("".join(json.dumps(each) + "\n" for each in found))


def compared(one: Any, other: Any, tokenizer: Any, row: Row, said: Row) -> Row:  # noqa: ANN401
    prompt = tokenizer.apply_chat_template(
        row["messages"], add_generation_prompt=True, tokenize=False
    )
    before = tokenizer.encode(prompt, add_special_tokens=False)
    ids = torch.tensor([[*before, *said["ids"]]], device=one.device)
    champion, model = (_scores(each, ids, len(before)) for each in (one, other))
    kl = (champion.exp() * (champion - model)).sum(-1)
    same = champion.argmax(-1) == model.argmax(-1)
    return {"kl": float(kl.sum()), "same": int(same.sum()), "tokens": len(said["ids"])}


def _scores(model: Any, ids: Any, start: int) -> Any:  # noqa: ANN401
    """[answer tokens, vocabulary]: log-probabilities, in float32."""
    with torch.inference_mode():
        scores = model(input_ids=ids).logits[0, start - 1 : -1]
        return scores.float().log_softmax(-1)


def _model(folder: Path) -> Any:  # noqa: ANN401
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=precision.computing())
    return model.to(device).eval()


if __name__ == "__main__":
    main()
