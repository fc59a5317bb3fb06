"""The reward of an answer: 1 where it is the corrected one, else 0. JSON is compared as JSON.

OpenRLHF's `--reward.remote_url reward.py` imports this file on its workers, so it stands alone and
asks for nothing but the standard library and torch. Put your task's own judgement in place of
`right` where more than one answer is right.
"""

import json
import re
from typing import Any

# What chat templates end a turn with: <|im_end|>, <|eot_id|>, </s>, <end_of_turn>.
_END = re.compile(r"(\s|<\|[^|<>]*\|>|</s>|<eos>|<end_of_turn>)+$")


def reward_func(queries: list[str], prompts: list[str], labels: list[str]) -> dict[str, Any]:
    """As OpenRLHF calls it.

    Args:
        queries: prompts with the answers that were drawn, special tokens and all.
        prompts: the same without the answers.
        labels: what should have been answered.
    """
    import torch

    scores = torch.tensor(
        [
            float(right(answer(query, prompt), label))
            for query, prompt, label in zip(queries, prompts, labels, strict=True)
        ]
    )
    return {"rewards": scores, "scores": scores, "extra_logs": {"right": scores.mean()}}


def answer(query: str, prompt: str) -> str:
    """What was said after the prompt, without what ends a turn.

    Raises:
        ValueError: the query does not begin with the prompt, as where OpenRLHF cut it to length.
    """
    if not query.startswith(prompt):
        raise ValueError(
            f"the query does not begin with its prompt {prompt[:80]!r}: raise --data.max_len"
        )
    return _END.sub("", query[len(prompt) :])


def right(said: str, label: str) -> bool:
    """Whether it is what should have been answered."""
    return bool(_value(said) == _value(label))


def _value(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
