"""Reads an export by OpenRLHF's own data code, in the engine environment.

    python -m loop_platform_tests.openrlhf.their_code EXPORT TINY_MODEL kto|…

Prints what its datasets made of the files, as text, where the loss would be.
"""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from openrlhf.datasets.utils import blending_datasets
from openrlhf.utils import get_tokenizer

EXPORT, MODEL, WHICH = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
MAX_TOKENS = 256


class Strategy:
    """What its datasets ask of a training strategy: the options, and who may speak."""

    def __init__(self, **options: Any) -> None:
        # Options of 0.11 are in groups, those of 0.9 are not.
        self.args = SimpleNamespace(data=SimpleNamespace(**options), use_ms=False, **options)

    def print(self, *_: object) -> None:
        pass

    def is_rank_0(self) -> bool:
        return False


def loaded(strategy: Strategy, *names: str) -> Any:
    return blending_datasets(",".join(str(EXPORT / name) for name in names), None, strategy)


def spoken(tokenizer: Any, ids: Any, mask: Any) -> str:
    """The tokens that are learnt: position n of the mask is of token n + 1."""
    text: str = tokenizer.decode(ids[0][1:][mask[0][:-1].bool()])
    return text


def today(tokenizer: Any) -> dict[str, Any]:
    from openrlhf.datasets import PromptDataset, RewardDataset, SFTDataset

    strategy = Strategy(input_key="messages", output_key=None, apply_chat_template=True)
    files = ("sft.jsonl", "replay.jsonl")
    supervised = SFTDataset(
        loaded(strategy, *files), tokenizer, MAX_TOKENS, strategy, num_processors=None
    )
    strategy = Strategy(chosen_key="chosen", rejected_key="rejected", apply_chat_template=True)
    pairs = RewardDataset(
        loaded(strategy, "preferences.jsonl"),
        *(tokenizer, MAX_TOKENS, strategy),
        is_dpo=True,
        num_processors=None,
    )
    strategy = Strategy(input_key="input", label_key="label", apply_chat_template=True)
    prompts = PromptDataset(loaded(strategy, "prompts.jsonl"), tokenizer, strategy)
    batch = supervised.collate_fn([supervised[at] for at in range(len(supervised))])
    reward = importlib.import_module("reward")
    _, prompt, label, _ = prompts[0]
    queries = [f"{prompt}{said}{tokenizer.eos_token}" for said in (label, "Sure!")]
    return {
        "supervised": [spoken(tokenizer, ids, mask) for ids, _, mask in supervised],
        "batch": len(batch[0]),
        "pairs": [
            [pairs.prompts[at], pairs.chosens[at], pairs.rejects[at]] for at in range(len(pairs))
        ],
        "prompts": [list(prompts[at]) for at in range(len(prompts))],
        "rewards": reward.reward_func(queries, [prompt] * 2, [label] * 2)["rewards"].tolist(),
    }


def kto(tokenizer: Any) -> dict[str, Any]:
    from openrlhf.datasets import UnpairedPreferenceDataset

    strategy = Strategy(
        input_key="messages", output_key=None, label_key="label", apply_chat_template=True
    )
    data = UnpairedPreferenceDataset(
        loaded(strategy, "kto.jsonl"), tokenizer, MAX_TOKENS, strategy, num_processors=None
    )
    *_, labels, _ = data.collate_fn([data[at] for at in range(len(data))])
    return {"rows": [list(data[at]) for at in range(len(data))], "labels": labels.tolist()}


if __name__ == "__main__":
    sys.path.insert(0, str(EXPORT))
    found = get_tokenizer(MODEL, SimpleNamespace(config=SimpleNamespace()), "right")
    sys.stdout.write(json.dumps((kto if WHICH == "kto" else today)(found)) + "\n")
