"""Starts the training program in the engine environment and takes what it reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

import loop_platform
from loop_platform.engine.job import Job, encode
from loop_platform.settings import Settings

_ROOT = Path(loop_platform.__file__).parents[1]


@dataclass(frozen=True)
class Trained:
    """An adapter on disk, and the record of how it came about."""

    sha256: str
    adapter: Path
    weights: Path
    record: dict[str, Any]


def train(
    context: dg.AssetExecutionContext,
    pipes: dg.PipesSubprocessClient,
    settings: Settings,
    job: Job,
) -> Trained:
    """Train, and wait for it; what the trainer says goes to the run's log.

    Raises:
        dg.Failure: the program ended without reporting an adapter.
        dagster.DagsterPipesExecutionError: it failed; its output says why.
    """
    result = pipes.run(
        context=context,
        command=[str(settings.engine.python.absolute()), "-m", "loop_platform.engine.train"],
        # The platform's own environment must not leak into the engine's.
        env={"PYTHONPATH": str(_ROOT), "VIRTUAL_ENV": "", "PYTHONUNBUFFERED": "1"},
        cwd=str(_ROOT),
        extras={"job": encode(job)},
    ).get_materialize_result(implicit_materialization=False)
    said: dict[str, Any] = {
        name: getattr(value, "value", value) for name, value in (result.metadata or {}).items()
    }
    missing = {"adapter", "adapter_path", "weights_path", "record"} - said.keys()
    if missing:
        raise dg.Failure(f"the trainer reported no {', '.join(sorted(missing))}")
    return Trained(
        said["adapter"],
        Path(said["adapter_path"]),
        Path(said["weights_path"]),
        said["record"],
    )
