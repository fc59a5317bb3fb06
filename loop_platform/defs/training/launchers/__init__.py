"""Where training runs: a launcher a file here, which the setting `training.launcher` names.

A launcher has a class `Launcher` whose fields are its settings, `[training.launch]` in `loop.toml`,
and whose `launch` runs a program of the engine environment to its end. The data folder has to have
the same path wherever that is: files, adapters and merged weights go through it.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg
import pydantic

from loop_platform.settings import Settings


class Launcher(Protocol):
    """Runs programs of the engine environment under Dagster Pipes."""

    def launch(
        self, context: dg.AssetExecutionContext, settings: Settings, program: "Program"
    ) -> dg.MaterializeResult[Any]:
        """Run it to its end; what it logs goes to the run's log.

        A run that is cancelled ends it, and so does a worker that dies.

        Raises:
            dagster.DagsterPipesExecutionError: it failed; its output says why.
        """
        ...


@dataclass(frozen=True)
class Program:
    """A module of the engine environment, and what it is told."""

    module: str
    extras: Mapping[str, Any]
    processes: int = 1
    """That do it together; torchrun starts them."""

    def command(self, python: str) -> list[str]:
        """What runs it, with the engine environment's Python."""
        if self.processes == 1:
            return [python, "-m", self.module]
        torchrun = [python, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, "--nproc-per-node", str(self.processes), "-m", self.module]


class NoLauncherError(ValueError):
    """The settings name a launcher that there is not, or set what it does not have."""


def launcher(settings: Settings) -> Launcher:
    """The one that the settings name.

    Raises:
        NoLauncherError: there is none of that name, or its settings are not right.
    """
    name = settings.training.launcher
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise NoLauncherError(f"training.launcher = {name!r}; there are: {', '.join(known)}")
    kind = importlib.import_module(f"{__name__}.{name}").Launcher
    try:
        found: Launcher = kind.model_validate(settings.training.launch)
    except pydantic.ValidationError as error:
        wrong = (
            f"training.launch.{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors()
        )
        raise NoLauncherError(f"launcher {name!r}: {'; '.join(wrong)}") from error
    return found
