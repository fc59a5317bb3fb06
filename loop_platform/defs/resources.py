"""What assets and sensors are given: the loop itself, the lake for frames, and where to train."""

from functools import cache

import dagster as dg
import sqlalchemy as sa

from loop_platform import database
from loop_platform.defs.training.launchers import launcher
from loop_platform.lake import Lake, ParquetIOManager
from loop_platform.settings import Settings, settings


class LoopResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The loop's settings, database and lake."""

    given: str | None = None
    """Settings as JSON, in place of the process's own."""

    @classmethod
    def of(cls, given: Settings) -> "LoopResource":
        """The loop on these settings, as tests want it."""
        return cls(given=given.model_dump_json())

    @property
    def settings(self) -> Settings:
        return _settings(self.given)

    @property
    def database(self) -> sa.Engine:
        return database.engine() if self.given is None else _engine(self.given)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)


def resources(given: Settings | None = None) -> dict[str, object]:
    """Every resource by its key."""
    loop = LoopResource() if given is None else LoopResource.of(given)
    return {
        "loop": loop,
        "io_manager": ParquetIOManager(root=loop.settings.lake),
        "launcher": launcher(loop.settings),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """One place: two folders that define the same key are an error to Dagster."""
    return dg.Definitions(resources=resources())


@cache
def _settings(given: str | None) -> Settings:
    return settings() if given is None else Settings.model_validate_json(given)


@cache
def _engine(given: str) -> sa.Engine:
    return sa.create_engine(database.database_url(_settings(given)), pool_pre_ping=True)
