from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.defs.telemetry.parts import HeldHour
from loop_platform.defs.telemetry.rows import call_rows, feedback_rows
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.records import Call, Feedback
from loop_platform.settings import Settings
from loop_platform_tests.segments import a_call, a_feedback


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


def _at(hours_ago: float) -> str:
    return new_id(int((datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp() * 1000))


def _write(database: sa.Engine, lake: Lake, *records: Call | Feedback) -> None:
    """A part for each record."""
    for record in records:
        if isinstance(record, Call):
            asset, key = "telemetry/calls", record.call_id
            frame = call_rows([record], key)
        else:
            asset, key = "telemetry/feedback", record.feedback_id
            frame = feedback_rows([record], key)
        with database.begin() as connection:
            HeldHour(connection, lake, asset, hour_of(key)).write_part(key, frame)


def test_calls_are_read_in_their_order_from_an_id_on(database: sa.Engine, lake: Lake) -> None:
    ids = [_at(hours) for hours in (5, 3, 1)]
    _write(database, lake, *(a_call(call_id=call_id) for call_id in reversed(ids)))
    with database.connect() as connection:
        everything = manifest.calls(connection, lake).collect()
        later = manifest.calls(connection, lake, since=ids[0]).collect()
        between = manifest.calls(connection, lake, since=ids[0], until=ids[1]).collect()
        one_hour = manifest.calls(connection, lake, hours=[hour_of(ids[2])]).collect()
    assert everything["call_id"].to_list() == ids
    assert later["call_id"].to_list() == ids[1:]
    assert between["call_id"].to_list() == ids[1:2]
    assert one_hour["call_id"].to_list() == ids[2:]


def test_calls_are_read_by_task_release_and_route(database: sa.Engine, lake: Lake) -> None:
    _write(database, lake, a_call(task="home"), a_call(route="shadow", release="r-2"))
    with database.connect() as connection:
        assert manifest.calls(connection, lake, task="home").collect().height == 1
        assert manifest.calls(connection, lake, release="r-2").collect().height == 1
        assert manifest.calls(connection, lake, route="champion").collect().height == 1
        assert manifest.calls(connection, lake, route="canary").collect().height == 0


def test_an_empty_lake_has_the_columns(database: sa.Engine, lake: Lake) -> None:
    with database.connect() as connection:
        assert "answer" in manifest.calls(connection, lake).collect().columns
        assert "release" in manifest.feedback(connection, lake).collect().columns
        assert "novelty" in manifest.signals(connection, lake).collect().columns


def test_feedback_finds_its_call_in_whatever_hour_that_was(database: sa.Engine, lake: Lake) -> None:
    call = a_call(call_id=_at(30), task="home", release="r-1")
    _write(database, lake, call, a_feedback(call.call_id), a_feedback(_at(2)))
    with database.connect() as connection:
        said = manifest.feedback(connection, lake).collect().sort("call_id")
        of_home = manifest.feedback(connection, lake, task="home").collect()
    assert said["release"].to_list() == ["r-1", None]
    assert of_home["call_id"].to_list() == [call.call_id]


def test_feedback_finds_a_call_that_arrives_after_it(database: sa.Engine, lake: Lake) -> None:
    call = a_call()
    _write(database, lake, a_feedback(call.call_id))
    with database.connect() as connection:
        assert manifest.feedback(connection, lake).collect()["route"].to_list() == [None]
    _write(database, lake, call)
    with database.connect() as connection:
        assert manifest.feedback(connection, lake).collect()["route"].to_list() == ["champion"]


def test_an_hour_closes_when_its_stragglers_had_time_to_arrive() -> None:
    end = datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert not manifest.is_closed("2026-03-01-07:00", now=end + timedelta(seconds=1))
    assert manifest.is_closed("2026-03-01-07:00", now=end + timedelta(minutes=3))


def test_reading_a_column_reads_no_other(database: sa.Engine, lake: Lake) -> None:
    _write(database, lake, a_call())
    with database.connect() as connection:
        plan = manifest.calls(connection, lake, task="chat").select("call_id").explain()
    assert "PROJECT 2/" in plan
