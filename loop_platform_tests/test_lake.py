from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from loop_platform.lake import Lake, ParquetIOManager
from loop_platform.partitions import hourly

FRAME = pl.DataFrame({"call_id": ["a", "b"], "n": [1, 2]})
SCHEMA = pl.Schema({"call_id": pl.String, "n": pl.Int64, "later": pl.Float64})


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake on the disk, and one on another fsspec store."""
    return Lake(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}")


def test_what_is_written_is_read(lake: Lake) -> None:
    lake.write(FRAME, "x/y.parquet")
    assert lake.read("x/y.parquet").equals(FRAME)
    assert lake.exists("x/y.parquet")


def test_the_same_frame_has_the_same_bytes(lake: Lake) -> None:
    lake.write(FRAME, "one.parquet")
    lake.write(FRAME.clone(), "two.parquet")
    assert lake.read_bytes("one.parquet") == lake.read_bytes("two.parquet")


def test_a_scan_fills_columns_that_a_file_lacks_and_passes_over_those_it_does_not_know(
    lake: Lake,
) -> None:
    lake.write(FRAME, "old.parquet")
    lake.write(FRAME.with_columns(later=1.5, unknown=True), "new.parquet")
    frame = lake.scan(["old.parquet", "new.parquet"], SCHEMA).collect()
    assert frame.schema == SCHEMA
    assert frame["later"].to_list() == [None, None, 1.5, 1.5]


def test_a_scan_of_nothing_has_the_columns(lake: Lake) -> None:
    assert lake.scan([], SCHEMA).collect().schema == SCHEMA


def test_removing_is_repeatable(lake: Lake) -> None:
    lake.write(FRAME, "x.parquet")
    lake.remove("x.parquet")
    lake.remove("x.parquet")
    assert not lake.exists("x.parquet")


def test_no_draft_is_left_on_the_disk(tmp_path: Path) -> None:
    Lake(str(tmp_path)).write(FRAME, "x.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]


@dg.asset(partitions_def=hourly)
def counted() -> pl.DataFrame:
    return FRAME


@dg.asset(partitions_def=hourly)
def doubled(counted: pl.DataFrame) -> pl.DataFrame:
    return counted.with_columns(pl.col("n") * 2)


def test_frames_pass_between_assets_in_files_without_colons(tmp_path: Path) -> None:
    result = dg.materialize(
        [counted, doubled],
        partition_key="2026-03-01-07:00",
        resources={"io_manager": ParquetIOManager(root=str(tmp_path))},
    )
    assert result.output_for_node("doubled")["n"].to_list() == [2, 4]
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.parquet")} == {
        "counted/2026-03-01-0700.parquet",
        "doubled/2026-03-01-0700.parquet",
    }
