import hashlib
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import call_counts, superseded_files
from loop_platform.defs.telemetry.parts import HeldHour
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform_tests.segments import (
    a_call,
    a_contribution,
    a_feedback,
    lines,
    ship,
)
from loop_platform_tests.telemetry.conftest import Materialise

At = Callable[..., str]


def _calls(database: sa.Engine, lake: Lake, **wanted: str) -> pl.DataFrame:
    with database.connect() as connection:
        return manifest.calls(connection, lake, **wanted).collect()  # type: ignore[arg-type]


def _files(lake: Lake, asset: str, hour: str) -> dict[str, str]:
    folder = Path(lake.path(asset, hour.replace(":", "")))
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.glob("*.parquet")}


def _passed(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    found = result.get_asset_check_evaluations()
    return {(check.asset_key.path[-1], check.check_name): check.passed for check in found}


def test_a_segment_becomes_calls_and_feedback(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    call = a_call("Turn on the light", '{"intent": "on"}')
    ship(database, lake, [call, a_feedback(call.call_id), a_contribution(task="home")])
    result = materialise(this_hour)
    assert result.success
    assert all(_passed(result).values())
    row = _calls(database, lake).row(0, named=True)
    assert row["answer"] == '{"intent": "on"}'
    assert (row["mean_logprob"], row["min_logprob"]) == (-0.3, -0.5)
    assert row["messages"] == '[{"role":"user","content":"Turn on the light"}]'
    with database.connect() as connection:
        said = manifest.feedback(connection, lake).collect().sort("record")
    assert said["record"].to_list() == ["contribution", "feedback"]
    assert said["task"].to_list() == ["home", "chat"]
    assert said["release"].to_list() == [None, "base-1"]
    assert said["route"].to_list() == [None, "champion"]


def test_each_segment_is_converted_once(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    ship(database, lake, [a_call()])
    materialise(this_hour)
    before = _files(lake, "telemetry/calls", this_hour)
    ship(database, lake, [a_call()])
    again = materialise(this_hour)
    (made,) = again.asset_materializations_for_node("telemetry__calls")
    assert made.metadata["segments"].value == 1
    assert "skipped 1 because they were converted before" in str(made.metadata["summary"].value)
    after = _files(lake, "telemetry/calls", this_hour)
    assert before.items() < after.items()
    assert _calls(database, lake).height == 2


def test_an_hour_rebuilt_from_the_same_segments_has_the_same_bytes(
    database: sa.Engine, lake: Lake, materialise: Materialise, at: At
) -> None:
    hour = hour_of(at(3))
    for minute in (5, 1, 9):
        call = a_call(call_id=at(3, minute))
        ship(database, lake, [call, a_feedback(call.call_id, feedback_id=at(3, minute))])
        materialise(hour)
    before = {asset: _files(lake, asset, hour) for asset in manifest.ASSETS[:2]}
    with database.connect() as connection:
        current = {p.path for p in manifest.parts_of(connection, "telemetry/calls", hour)}
    assert len(current) == 1
    assert materialise(hour, rebuild=True).success
    for asset in manifest.ASSETS[:2]:
        after = _files(lake, asset, hour)
        assert after.items() >= {k: v for k, v in before[asset].items() if k in current}.items()
    with database.connect() as connection:
        assert {p.path for p in manifest.parts_of(connection, "telemetry/calls", hour)} == current
    assert _calls(database, lake).height == 3


def test_a_late_segment_joins_the_compacted_hour(
    database: sa.Engine, lake: Lake, materialise: Materialise, at: At
) -> None:
    hour = hour_of(at(5))
    ship(database, lake, [a_call(call_id=at(5, 10))])
    materialise(hour)
    ship(database, lake, [a_call(call_id=at(5, 2))])
    materialise(hour)
    with database.connect() as connection:
        parts = manifest.parts_of(connection, "telemetry/calls", hour)
        assert manifest.uncompacted_hours(connection) == []
    assert len({part.path for part in parts}) == 1
    assert all(part.compacted for part in parts)
    ids = _calls(database, lake)["call_id"]
    assert ids.len() == 2
    assert ids.is_sorted()


def test_a_segment_shipped_twice_adds_nothing(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    call = a_call()
    ship(database, lake, [call, call])
    ship(database, lake, [call])
    result = materialise(this_hour)
    (made,) = result.asset_materializations_for_node("telemetry__calls")
    assert made.metadata["duplicates"].value == 1
    assert _calls(database, lake).height == 1
    assert _passed(result)["calls", "no_id_is_there_twice"]


def test_what_cannot_be_read_is_kept_aside_and_counted(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    whole = lines([a_call()])
    wrong = b'{"record":"call","call_id":7}\n{"record":"surprise"}\n\xff\xfe\n'
    no_id = lines([a_call(call_id="not-a-uuid")])
    segment_id = ship(database, lake, [a_call()], tail=wrong + no_id + whole[:40])
    result = materialise(this_hour)
    assert result.success
    assert not _passed(result)["calls", "every_line_was_readable"]
    assert _passed(result)["calls", "no_id_is_there_twice"]
    assert _calls(database, lake).height == 1
    kept = lake.read_bytes(f"telemetry/corrupt/{segment_id}.jsonl").decode().splitlines()
    assert len(kept) == 5
    assert "torn tail" in kept[-1]


def test_a_whole_last_line_without_its_newline_is_recovered(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    ship(database, lake, [a_call()], tail=lines([a_call()]).rstrip(b"\n"))
    result = materialise(this_hour)
    assert _passed(result)["calls", "every_line_was_readable"]
    assert _calls(database, lake).height == 2


def test_a_segment_that_is_gone_is_said_so(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    segment_id = ship(database, lake, [a_call()])
    (path,) = Path(lake.root).glob(f"segments/*/{segment_id}.jsonl")
    path.unlink()
    result = materialise(this_hour)
    assert result.success
    assert not _passed(result)["calls", "every_line_was_readable"]


def test_hours_that_the_gateway_did_not_name_become_pending(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str, at: At
) -> None:
    ship(database, lake, [a_call(), a_call(call_id=at(1))], hours={this_hour})
    materialise(this_hour)
    with database.connect() as connection:
        assert hour_of(at(1)) in manifest.pending_hours(connection)
    materialise(hour_of(at(1)))
    assert _calls(database, lake).height == 2


def test_many_small_files_of_an_open_hour_are_merged(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    for _ in range(35):
        ship(database, lake, [a_call()])
    materialise(this_hour)
    with database.connect() as connection:
        parts = manifest.parts_of(connection, "telemetry/calls", this_hour)
    assert len({part.path for part in parts}) == 1
    assert len(parts) == 35
    assert _calls(database, lake).height == 35


def test_replaced_files_are_removed_only_after_a_while(
    database: sa.Engine, lake: Lake, materialise: Materialise, at: At
) -> None:
    hour = hour_of(at(2))
    ship(database, lake, [a_call(call_id=at(2, 1))])
    materialise(hour)
    assert len(_files(lake, "telemetry/calls", hour)) == 2
    with database.begin() as connection:
        long_ago = sa.text("superseded_at - interval '1 hour'")
        connection.execute(sa.update(superseded_files).values(superseded_at=long_ago))
    materialise(hour)
    assert len(_files(lake, "telemetry/calls", hour)) == 1
    assert _calls(database, lake).height == 1


def test_calls_are_counted_by_task_release_and_route(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str
) -> None:
    ship(database, lake, [a_call(), a_call(), a_call(route="shadow", release="r-2")])
    materialise(this_hour)
    materialise(this_hour, rebuild=True)
    columns = (call_counts.c.release, call_counts.c.route, call_counts.c.calls)
    with database.connect() as connection:
        counts = connection.execute(sa.select(*columns).order_by(call_counts.c.release)).all()
    assert counts == [("base-1", "champion", 2), ("r-2", "shadow", 1)]


def test_a_call_of_another_hour_blocks(
    database: sa.Engine, lake: Lake, materialise: Materialise, this_hour: str, at: At
) -> None:
    ship(database, lake, [a_call()])
    materialise(this_hour)
    stray = _calls(database, lake).with_columns(call_id=pl.lit(at(1)))
    with database.begin() as connection:
        HeldHour(connection, lake, "telemetry/calls", this_hour).write_part("stray", stray)
    result = materialise(this_hour)
    assert not result.success
    assert not _passed(result)["calls", "ids_are_of_the_hour"]
