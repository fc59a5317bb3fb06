"""The program that takes in what was trained elsewhere, started by Dagster Pipes with an `Arrival`
as its extras.

    python -m loop_platform.engine.take_in                      # under Pipes
    python -m loop_platform.engine.take_in --arrival file.json  # by hand

What comes of it is an adapter like the trainer's: of the recipe's rank, on every linear layer of
the base model, so that engines serve it and a later cycle goes on from it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from loop_platform.engine import adapter, lease, likeness, record
from loop_platform.engine.arrival import Arrival, decode
from loop_platform.engine.lifetime import die_with_parent, stop_on_signals
from loop_platform.engine.outcome import code_of, report
from loop_platform.engine.training import Trained, check_disk, save


def take_in(arrival: Arrival) -> Trained:
    """The adapter, its record and the merged weights.

    Raises:
        AdapterRefusedError: what was brought is neither an adapter nor a model on this base, holds
            a pickle, is no plain LoRA, or changes nothing.
        TrainingError: there is no disk for what comes of it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(arrival.threads or os.cpu_count() or 1)
    check_disk(arrival)
    brought = Path(arrival.brought)
    adapter.check_no_pickle(brought)
    model = AutoModelForCausalLM.from_pretrained(arrival.base, dtype=torch.bfloat16)
    ours = adapter.fresh(model, arrival.rank, arrival.alpha, arrival.seed)
    is_adapter = likeness.is_adapter(brought)
    if is_adapter:
        below = None if arrival.sits_on is None else Path(arrival.sits_on)
        kept = likeness.of_adapter(ours, brought, below)
    else:
        kept = likeness.of_model(ours, brought)
    ours.set_adapter("default")
    fields: dict[str, object] = {
        "base": arrival.base_name,
        "licence": arrival.licence,
        "parent": None if arrival.sits_on is None else Path(arrival.sits_on).name,
        "brought": "an adapter" if is_adapter else "a whole model",
        "note": arrival.note,
        "held": round(kept.share, 6),
        "rank": arrival.rank,
        "alpha": arrival.alpha,
        "data_sha256": arrival.data_sha256,
        "corrections": arrival.rows,
        "replay": 0,
        "refused": [],
        "versions": record.versions(),
    }
    return save(ours, arrival, fields)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arrival", type=Path, help="an Arrival as JSON, in place of Pipes")
    options = parser.parse_args()
    die_with_parent()
    stop_on_signals()
    file: Path | None = options.arrival
    return code_of(_under_pipes if file is None else lambda: _by_hand(file))


def _by_hand(file: Path) -> None:
    taken = take_in(decode(json.loads(file.read_text())))
    print(json.dumps({"adapter": str(taken.adapter), "weights": str(taken.weights)}))


def _under_pipes() -> None:
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        lease.hold(pipes.extras)
        report(pipes, take_in(decode(pipes.extras["arrival"])))


if __name__ == "__main__":
    sys.exit(main())
