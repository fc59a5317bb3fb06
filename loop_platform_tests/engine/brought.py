"""Things that people bring, made and taken in by the engine's Python in one process.

    python -m loop_platform_tests.engine.brought FOLDER TINY_MODEL

Prints, as JSON, what came of each: `{"held": …, "same": …, "apart": …}`, or the refusal.
"""

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from loop_platform.engine.adapter import AdapterRefusedError
from loop_platform.engine.arrival import Arrival
from loop_platform.engine.take_in import take_in
from loop_platform.engine.training import Trained

RANK = 8
FOLDER, TINY = (Path(argument) for argument in sys.argv[1:])


def base() -> Any:
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.bfloat16)


def arrival(brought: Path, sits_on: Path | None = None) -> Arrival:
    return Arrival(
        brought=str(brought),
        sits_on=None if sits_on is None else str(sits_on),
        base=str(TINY),
        base_name="tiny",
        adapters=str(FOLDER / "adapters"),
        weights=str(FOLDER / "weights"),
        rank=RANK,
        alpha=RANK,
        seed=5,
        data_sha256="ab" * 32,
        rows=3,
        note="a test",
        threads=1,
    )


def lora(name: str, seed: int, on: Any = None, **config: Any) -> Path:
    """An adapter that changes something, on the base model or on another."""
    torch.manual_seed(seed)
    given = {"r": RANK, "lora_alpha": RANK, "target_modules": "all-linear"} | config
    model = base() if on is None else on
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **given))
    for key, weight in adapted.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.02)
    adapted.save_pretrained(str(FOLDER / name))
    return FOLDER / name


def merged(model: Any, *adapters: Path) -> Any:
    """The model with all of them added, in float32."""
    model = model.float()
    for folder in adapters:
        model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return model


def outcome(taken: Trained, wanted: Any) -> dict[str, Any]:
    """How far the merged weights are from what they should be, over all that was changed."""
    found = AutoModelForCausalLM.from_pretrained(taken.weights, dtype=torch.float32)
    was = base().float().state_dict()
    apart = changed = 0.0
    for name, weight in wanted.state_dict().items():
        apart += float((found.state_dict()[name] - weight).square().sum())
        changed += float((weight - was[name]).square().sum())
    config = json.loads((taken.adapter / "adapter_config.json").read_text())
    card = (taken.adapter / "README.md").read_text()
    return {
        "held": taken.record["held"],
        "parent": taken.record["parent"],
        "apart": apart / changed,
        "rank": config["r"],
        "sha256": taken.sha256,
        "card": card,
    }


def refusal(work: Callable[[], object]) -> str:
    try:
        work()
    except AdapterRefusedError as error:
        return str(error)
    return "taken"


def main() -> None:
    own = lora("own", 1)
    back = take_in(arrival(own))
    again = take_in(arrival(back.adapter))
    narrow = lora("narrow", 2, r=2, lora_alpha=6, use_rslora=True, target_modules=["q_proj"])
    wide = lora("wide", 3, r=RANK * 2, lora_alpha=RANK)
    on_top = lora("on-top", 4, on=merged(base(), back.adapter), r=2)
    whole = FOLDER / "whole"
    model = merged(base(), wide)
    with torch.no_grad():
        model.model.norm.weight += 0.001
    model.to(torch.bfloat16).save_pretrained(whole)
    report: dict[str, Any] = {
        "back": outcome(back, merged(base(), own)),
        "again": again.sha256,
        "narrow": outcome(take_in(arrival(narrow)), merged(base(), narrow)),
        "wide": outcome(take_in(arrival(wide)), merged(base(), wide)),
        "on top": outcome(
            take_in(arrival(on_top, back.adapter)), merged(base(), back.adapter, on_top)
        ),
        "whole": outcome(take_in(arrival(whole)), model),
    }
    pickled = FOLDER / "pickled"
    shutil.copytree(own, pickled)
    torch.save({}, pickled / "adapter_model.bin")
    odd = base()
    odd.model.layers.append(copy.deepcopy(odd.model.layers[0]))
    report["refused"] = {
        "pickled": refusal(lambda: take_in(arrival(pickled))),
        "dora": refusal(lambda: take_in(arrival(lora("dora", 6, use_dora=True)))),
        "head": refusal(lambda: take_in(arrival(lora("head", 7, target_modules=["lm_head"])))),
        "another": refusal(lambda: take_in(arrival(lora("another", 8, on=odd)))),
        "base": refusal(lambda: take_in(arrival(TINY))),
    }
    report["left behind"] = sorted(
        file.name for file in (FOLDER / "adapters").iterdir() if file.name.startswith(".")
    )
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
