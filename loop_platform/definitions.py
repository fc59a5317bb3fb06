"""The code location: everything under defs/, and the sensor that acts on automation conditions."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """The whole graph."""
    stages = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # The sensor that Dagster adds by itself is made stopped: a fresh stack would sit still.
    automation = dg.AutomationConditionSensorDefinition(
        "loop_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
    )
    # One process a run: a step of its own would import everything again, seconds of a core.
    return dg.Definitions.merge(
        stages, dg.Definitions(sensors=[automation], executor=dg.in_process_executor)
    )
