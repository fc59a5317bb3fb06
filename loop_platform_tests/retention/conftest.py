"""A lake with calls of some days ago, converted by the real assets."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import parts, segment_hours, superseded_files
from loop_platform.defs.resources import resources
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.defs.telemetry.parts import HeldHour, settle
from loop_platform.identity import new_id
from loop_platform.lake import Lake
from loop_platform.records import Record
from loop_platform.settings import Settings
from loop_platform.tables import schema
from loop_platform_tests.segments import ship


def ago(days: float, minute: int = 0) -> str:
    """An id of so many days ago."""
    top = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    moment = top - timedelta(days=days) + timedelta(minutes=minute)
    return new_id(int(moment.timestamp() * 1000))


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


class Past:
    """What was recorded before."""

    def __init__(self, settings: Settings, database: sa.Engine, lake: Lake) -> None:
        self.settings = settings
        self.database = database
        self.lake = lake

    def ship(self, *records: Record, tail: bytes = b"") -> str:
        """A segment, in the lake and not taken up yet."""
        return ship(self.database, self.lake, records, tail=tail)

    def settle(self) -> None:
        """Telemetry takes up what there is; signals are of one number, which no test looks at."""
        with self.database.connect() as connection:
            hours = list(manifest.pending_hours(connection))
        for hour in hours:
            dg.materialize(
                [calls, feedback], partition_key=hour, resources=resources(self.settings)
            )
            with self.database.begin() as connection:
                self._signals(connection, hour)
                settle(connection, hour)

    def _signals(self, connection: sa.Connection, hour: str) -> None:
        held = HeldHour(connection, self.lake, "monitoring/signals", hour)
        columns = schema("monitoring/signals")
        for segment in held.pending():
            rows = manifest.rows(connection, self.lake, "telemetry/calls", hours=[hour]).collect()
            own = rows.filter(segment_id=segment.segment_id)
            missing = [pl.lit(None, kind).alias(n) for n, kind in columns.items() if n not in own]
            frame = own.with_columns(missing).with_columns(flags=pl.lit("[]")).select(list(columns))
            held.write_part(segment.segment_id, frame)

    def calls(self) -> set[str]:
        return self._ids("telemetry/calls", "call_id")

    def signals(self) -> set[str]:
        return self._ids("monitoring/signals", "call_id")

    def feedback(self) -> set[str]:
        return self._ids("telemetry/feedback", "feedback_id")

    def rebuilt(self) -> set[str]:
        """The calls that come out when every hour is built again from the journal."""
        with self.database.connect() as connection:
            hours = sorted(connection.scalars(sa.select(segment_hours.c.hour).distinct()))
        config = {"config": {"rebuild": True}}
        for hour in hours:
            dg.materialize(
                [calls, feedback],
                partition_key=hour,
                resources=resources(self.settings),
                run_config={"ops": {"telemetry__calls": config, "telemetry__feedback": config}},
            )
        return self.calls()

    def bytes_with(self, text: str) -> list[str]:
        """The files of the lake that hold the text: journal and what is kept aside as they are, the
        tables by their values."""
        found = []
        for path in self.lake.filesystem.find(self.lake.path()):
            content = self.lake.filesystem.cat_file(path)
            if path.endswith(".parquet"):
                content = pl.read_parquet(path).write_ndjson().encode()
            if text.encode() in content:
                found.append(path.removeprefix(f"{self.lake.path()}/"))
        return found

    def current(self, text: str) -> list[str]:
        """Of these, the files that are not replaced."""
        with self.database.connect() as connection:
            replaced = set(connection.scalars(sa.select(superseded_files.c.path)))
        return [path for path in self.bytes_with(text) if path not in replaced]

    def parts(self) -> int:
        with self.database.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(parts)) or 0

    def _ids(self, asset: str, key: str) -> set[str]:
        with self.database.connect() as connection:
            return set(manifest.rows(connection, self.lake, asset).collect()[key])


@pytest.fixture
def past(settings: Settings, database: sa.Engine, lake: Lake) -> Past:
    return Past(settings, database, lake)
