"""What Dagster's daemon does, done here: the sensors of a trial are asked, and what they ask for is
run at once."""

import dagster as dg
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import database_url
from loop_platform.defs.evaluation.offline import offline
from loop_platform.defs.evaluation.sensors import candidate_ready, shadow_complete
from loop_platform.defs.evaluation.shadow import shadow
from loop_platform.defs.monitoring.assets import signals
from loop_platform.defs.release.canary import canary
from loop_platform.defs.release.sensors import canary_complete
from loop_platform.defs.resources import LoopResource, resources
from loop_platform.defs.review.assets import candidates
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.partitions import cycles, hourly
from loop_platform.settings import Settings

_HOURLY = ("telemetry", "monitoring")
_JUDGED = ((candidate_ready, offline), (shadow_complete, shadow), (canary_complete, canary))


class DagsterAtHand:
    """With an instance of its own, which forgets."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = sa.create_engine(
            database_url(settings), poolclass=sa.NullPool, connect_args={"connect_timeout": 5}
        )

    def __enter__(self) -> "DagsterAtHand":
        self._instance = dg.DagsterInstance.ephemeral()
        return self

    def __exit__(self, *_: object) -> None:
        self._instance.dispose()

    def tick(self) -> None:
        """One round. The database may be away: a drill of that is no concern of Dagster's."""
        try:
            self._take_in()
            for sensor, asset in _JUDGED:
                self._sense(sensor, asset)
        except sa.exc.OperationalError:
            return

    def _take_in(self) -> None:
        with self._database.connect() as connection:
            hours = manifest.pending_hours(connection)
        for hour in hours:
            dg.materialize(
                [calls, feedback, signals, candidates],
                partition_key=hour,
                resources=resources(self._settings),
                instance=self._instance,
                raise_on_error=False,
            )

    def _sense(self, sensor: dg.SensorDefinition, asset: dg.AssetsDefinition) -> None:
        context = dg.build_sensor_context(
            instance=self._instance,
            sensor_name=sensor.name,
            resources={"loop": LoopResource.of(self._settings)},
        )
        found = sensor(context)
        if not isinstance(found, dg.SensorResult):
            return
        for asked in found.dynamic_partitions_requests or ():
            self._instance.add_dynamic_partitions(
                asked.partitions_def_name, list(asked.partition_keys)
            )
        upstream = [
            dg.AssetSpec(key, partitions_def=hourly if key.path[0] in _HOURLY else cycles)
            for key in asset.dependency_keys
        ]
        for run in found.run_requests or ():
            dg.materialize(
                [asset, *upstream],
                partition_key=run.partition_key,
                tags={**run.tags, "dagster/sensor_name": sensor.name},
                resources=resources(self._settings),
                instance=self._instance,
                raise_on_error=False,
                selection=[asset],
            )
