"""Starts the engine programs that make an adapter, and takes what they report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from loop_platform.defs.training.launchers import Launcher, Program
from loop_platform.engine import arrival, job
from loop_platform.engine.arrival import Arrival
from loop_platform.engine.job import Job
from loop_platform.settings import Settings


@dataclass(frozen=True)
class Trained:
    """An adapter on disk, and the record of how it came about."""

    sha256: str
    adapter: Path
    weights: Path
    record: dict[str, Any]


def train(
    context: dg.AssetExecutionContext,
    launcher: Launcher,
    settings: Settings,
    given: Job,
) -> Trained:
    """Train, and wait for it; what the trainer says goes to the run's log.

    Raises:
        dg.Failure: the program ended without reporting an adapter.
        dagster.DagsterPipesExecutionError: it failed; its output says why.
    """
    return _run(
        context,
        launcher,
        settings,
        "train",
        {"job": job.encode(given)},
        processes=settings.training.processes,
    )


def take_in(
    context: dg.AssetExecutionContext,
    launcher: Launcher,
    settings: Settings,
    given: Arrival,
) -> Trained:
    """Make an adapter of the loop's own shape of what came from elsewhere; raises as `train`."""
    return _run(context, launcher, settings, "take_in", {"arrival": arrival.encode(given)})


def _run(
    context: dg.AssetExecutionContext,
    launcher: Launcher,
    settings: Settings,
    program: str,
    extras: dict[str, Any],
    *,
    processes: int = 1,
) -> Trained:
    asked = Program(f"loop_platform.engine.{program}", extras, processes)
    result = launcher.launch(context, settings, asked)
    said: dict[str, Any] = {
        name: getattr(value, "value", value) for name, value in (result.metadata or {}).items()
    }
    missing = {"adapter", "adapter_path", "weights_path", "record"} - said.keys()
    if missing:
        raise dg.Failure(f"the program reported no {', '.join(sorted(missing))}")
    return Trained(
        said["adapter"],
        Path(said["adapter_path"]),
        Path(said["weights_path"]),
        said["record"],
    )
