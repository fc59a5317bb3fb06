"""The training record, `training.json`: what made an adapter, and what making it took."""

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from loop_platform.engine import precision
from loop_platform.engine.job import Job, Recipe
from loop_platform.engine.losses import Loss
from loop_platform.engine.material import Material, files
from loop_platform.engine.probe import Probed
from loop_platform.engine.rows import content_hash

FILE = "training.json"


@dataclass(frozen=True)
class Point:
    """One optimiser step on the loss curve."""

    step: int
    surprise: float | None
    divergence: float | None
    learning_rate: float
    tokens: int
    preference: float | None = None
    thumbs: float | None = None


@dataclass
class Progress:
    """What was done so far."""

    steps: int
    curve: list[Point] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    """Why not all steps were made."""
    kept: int | None = None
    """After how many steps the state was that is kept, where it is not the last."""
    reason: str = ""
    """Why that state is kept."""
    probes: list[Probed] = field(default_factory=list)
    """What was found on rows held apart, at the start and on the way."""
    out_of_memory: list[dict[str, object]] = field(default_factory=list)

    def add(self, step: int, learning_rate: float, losses: Sequence[Loss], tokens: int) -> None:
        """The step that was just made: its batches' losses and tokens."""
        self.tokens += tokens
        self.curve.append(
            Point(
                step,
                _mean([loss.surprise for loss in losses]),
                _mean([loss.divergence for loss in losses]),
                learning_rate,
                self.tokens,
                _mean([loss.preference for loss in losses]),
                _mean([loss.thumbs for loss in losses]),
            )
        )

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    def tail(self, share: float = 0.1) -> tuple[float | None, float | None]:
        """Mean surprise and divergence over the last part of the curve."""
        kept = self.curve[: self.kept]
        last = kept[-max(1, round(len(kept) * share)) :]
        return _mean([p.surprise for p in last]), _mean([p.divergence for p in last])


def record(job: Job, given: Material, progress: Progress, processes: int = 1) -> dict[str, object]:
    """The record as JSON values; of a run that so many processes made together."""
    surprise, divergence = progress.tail()
    return {
        "base": job.base_name,
        "licence": job.licence,
        "parent": None if job.parent is None else Path(job.parent).name,
        "data_sha256": content_hash(*files(job)),
        "corrections": given.corrections,
        "replay": given.replayed,
        "preferences": 0 if given.pairs is None else len(given.pairs),
        "thumbs": 0 if given.thumbs is None else len(given.thumbs),
        "rehearsal": given.rehearsed,
        "methods": list(given.methods),
        "held_apart": {
            "corrections": len(given.probe),
            "replay": given.probe.replayed,
            "rehearsal": given.probe.rehearsed,
        },
        "refused": [error.as_record() for error in given.refused],
        "modes": msgspec.to_builtins(job.modes),
        "recipe": recipe(job.recipe),
        "seed": job.recipe.seed,
        "precision": str(precision.computing()).removeprefix("torch."),
        "steps": len(progress.curve),
        "stopped": progress.stopped,
        "kept_after": progress.kept,
        "kept_because": progress.reason,
        "probes": [asdict(found) for found in progress.probes],
        "out_of_memory": progress.out_of_memory,
        "tokens": progress.tokens,
        "processes": processes,
        "seconds": round(progress.seconds, 1),
        "tokens_per_s": round(progress.tokens_per_s, 1),
        "cost": round(progress.seconds / 3600 * job.cost_per_hour, 5),
        "final_surprise": surprise,
        "final_divergence": divergence,
        "curve": [asdict(point) for point in progress.curve],
        "versions": versions(),
    }


def write(fields: dict[str, object], folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(fields, indent=1) + "\n")


def recipe(given: Recipe) -> dict[str, object]:
    return {name: getattr(given, name) for name in given.__struct_fields__}


def versions() -> dict[str, str]:
    """Of everything that the result depends on."""
    packages = ("torch", "transformers", "peft", "safetensors", "tokenizers")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
