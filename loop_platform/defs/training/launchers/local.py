"""Training on this machine, as a child of the run."""

from pathlib import Path
from typing import Any

import dagster as dg
import pydantic

import loop_platform
from loop_platform.defs.training import handover
from loop_platform.defs.training.launchers import Program
from loop_platform.settings import Settings
from loop_platform.stack.tether import tethered

_ROOT = Path(loop_platform.__file__).parents[1]


class Launcher(pydantic.BaseModel):
    """Has no settings: `engine.python` says whose environment it is."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    def launch(
        self, context: dg.AssetExecutionContext, settings: Settings, program: Program
    ) -> dg.MaterializeResult[Any]:
        """A cancelled run interrupts the child; it ends by itself when the run's process dies."""
        with handover.gpu(settings.engine, context.log.info):
            done = dg.PipesSubprocessClient().run(
                context=context,
                # torchrun would outlive a run that is killed, and its children with it.
                command=tethered(program.command(str(settings.engine.python.absolute()))),
                # The platform's own environment must not leak into the engine's.
                env={"PYTHONPATH": str(_ROOT), "VIRTUAL_ENV": "", "PYTHONUNBUFFERED": "1"},
                cwd=str(_ROOT),
                extras=dict(program.extras),
            )
        return done.get_materialize_result(implicit_materialization=False)
