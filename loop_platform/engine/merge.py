"""Merged weights: base and adapter as one model folder, for engines that serve those."""

import shutil
from pathlib import Path
from typing import Any

_BESIDE_THE_WEIGHTS = ("tokenizer*", "*.jinja", "special_tokens_map.json", "vocab*", "merges.txt")


def merge(adapted: Any, base: Path, out: Path) -> None:  # noqa: ANN401 - peft is untyped
    """Write the merged model, its tokenizer and chat template into `out`.

    Summed in float32 and rounded to bfloat16 once; the adapted model is used up.
    """
    import torch

    merged = adapted.to(torch.float32).merge_and_unload().to(torch.bfloat16)
    merged.save_pretrained(out, safe_serialization=True)
    for pattern in _BESIDE_THE_WEIGHTS:
        for file in base.glob(pattern):
            shutil.copy2(file, out)
