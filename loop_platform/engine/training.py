"""Trains one adapter: from a job's files to hashed folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loop_platform.engine import adapter, card, merge, precision, record, vector_math
from loop_platform.engine.job import Job
from loop_platform.engine.lessons import Lessons, Say, TrainingError
from loop_platform.engine.material import Material, material
from loop_platform.engine.network import Network
from loop_platform.engine.team import Team

_SPACE = 1.2
"""Times the base's weights: merged ones and the adapter, with some to spare."""


@dataclass(frozen=True)
class Trained:
    """A finished adapter."""

    sha256: str
    adapter: Path
    weights: Path
    record: dict[str, object]


class Places(Protocol):
    """Where the base model is, and where adapters and merged weights go, as a `Job` has them."""

    @property
    def base(self) -> str: ...
    @property
    def base_name(self) -> str: ...
    @property
    def adapters(self) -> str: ...
    @property
    def weights(self) -> str: ...


def train(job: Job, say: Say, team: Team | None = None) -> Trained | None:
    """Train, save, merge. With a `team` all of it trains, and its leader alone saves: the others
    get None.

    Raises:
        NoRowError: a file of the data is not what it should be.
        AdapterRefusedError: the parent is no adapter, or holds a pickle.
        NothingToLearnError: there is nothing to train on.
        TrainingError: there is no disk for what comes of it, no time, or the loss is no number any
            more.
        NoRoomError: there is no memory for it.
    """
    import torch

    team = team or Team()
    torch.set_num_threads(job.threads or max(1, (os.cpu_count() or 1) // team.size))
    vector_math.settle()
    torch.manual_seed(job.recipe.seed)
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    check_disk(job)
    given = _material(job)
    for error in given.refused:
        say(f"refused: {error}")
    say(
        f"{given.corrections} corrections and {given.replayed} replayed answers, {given.tokens}"
        f" tokens an epoch, and {given.rehearsed} earlier corrections to rehearse;"
        f" {len(given.probe)}, {given.probe.replayed} and {given.probe.rehearsed} held apart"
    )
    for method in given.methods:
        say(method)
    network = Network(_adapted(job), team)
    say(network.way)
    lessons = Lessons(
        network,
        given.rows,
        job.recipe,
        fresh=job.parent is None,
        pairs=given.pairs,
        thumbs=given.thumbs,
        probe=given.probe,
        budget_s=job.budget_s,
        team=team,
    )
    progress = lessons.run(say)
    fields = record.record(job, given, progress, team.size)
    if not team.leads:
        return None
    adapted = network.adapted if team.alone else _whole(network.adapted, job)
    return save(adapted, job, fields)


def check_disk(places: Places) -> None:
    """See that there is space for the merged weights, the largest thing that is written.

    Raises:
        TrainingError: there is not.
    """
    needed = sum(file.stat().st_size for file in Path(places.base).glob("*.safetensors"))
    place = Path(places.weights)
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if free < _SPACE * needed:
        raise TrainingError(
            f"{place} has {free / 1e9:.1f} GB of disk left, and adapter and merged weights take"
            f" some {_SPACE * needed / 1e9:.1f} GB: free some before training"
        )


def _material(job: Job) -> Material:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.base)
    if tokenizer.chat_template is None:
        raise TrainingError(f"{job.base} has no chat template: its prompts cannot be rebuilt")
    return material(job, tokenizer)


def _adapted(job: Job) -> Any:  # noqa: ANN401 - peft is untyped
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=precision.computing())
    model.to(torch.get_default_device())
    if job.parent is None:
        return adapter.fresh(model, job.recipe.rank, job.recipe.alpha, job.recipe.seed)
    parent = Path(job.parent)
    if adapter.rank(parent) != job.recipe.rank:
        raise TrainingError(
            f"the recipe asks for rank {job.recipe.rank}, the champion's adapter {parent.name} has"
            f" rank {adapter.rank(parent)}: training goes on from it, so set the recipe's rank to"
            " that"
        )
    return adapter.attached(model, parent, trainable=True)


def _whole(divided: Any, job: Job) -> Any:  # noqa: ANN401
    """The adapter that a team trained, on a base model that is in one piece."""
    import peft

    adapted = _adapted(job)
    state = peft.get_peft_model_state_dict(divided, save_embedding_layers=False)
    peft.set_peft_model_state_dict(adapted, state)
    return adapted


def save(
    adapted: Any,  # noqa: ANN401 - peft is untyped
    places: Places,
    fields: dict[str, object],
) -> Trained:
    """Write adapter, record, card and merged weights; they appear under the adapter's hash.

    In bfloat16, whatever they were computed in: what is merged is what was saved.
    """
    import torch

    adapted.to(torch.bfloat16)
    with _scratch(Path(places.adapters)) as folder:
        sha256 = adapter.save(adapted, folder, places.base_name)
        fields = {"adapter": sha256, **fields}
        record.write(fields, folder)
        (folder / card.FILE).write_text(card.card(fields))
        with _scratch(Path(places.weights)) as weights:
            merge.merge(adapted, Path(places.base), weights)
            merged = _appear(weights, Path(places.weights) / sha256)
        saved = _appear(folder, Path(places.adapters) / sha256)
    return Trained(sha256, saved, merged, fields)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A hidden folder beside the place where its content will be, gone at the end."""
    folder = parent / f".unfinished-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _appear(folder: Path, place: Path) -> Path:
    """Rename, unless the same content is there already (the name is its hash)."""
    if not place.exists():
        folder.rename(place)
    return place
