from datetime import UTC, datetime

import dagster as dg
import polars as pl
import pytest

from loop_platform.defs.curation import due
from loop_platform.defs.ecosystem.assets import metrics
from loop_platform.defs.resources import resources
from loop_platform.lake import Lake
from loop_platform_tests.curation.accepting import accepted, crowd
from loop_platform_tests.review.lakes import arrived, call, feedback


@pytest.fixture
def today():
    return datetime.now(UTC).strftime("%Y-%m-%d")


def measured(settings, day):
    result = dg.materialize(
        [metrics],
        partition_key=day,
        resources=resources(settings),
        instance=dg.DagsterInstance.ephemeral(),
    )
    assert result.success
    frame = Lake(settings.lake).read(f"ecosystem/metrics/{day}.parquet")
    return {(row["about"], row["metric"]): (row["value"], row["n"]) for row in frame.to_dicts()}


def test_a_day_is_measured_with_what_it_was_counted_over(database, settings, today):
    lake = Lake(settings.lake)
    calls = [
        call(prompt_tokens=40, completion_tokens=10, status=200 if n else 503) for n in range(4)
    ]
    arrived(database, lake, "telemetry/calls", *calls, call(route="shadow"))
    outcomes = [feedback(calls[n], "outcome", outcome=n == 3) for n in range(4)]
    arrived(database, lake, "telemetry/feedback", *outcomes)
    accepted(database, *crowd(3))
    with database.begin() as connection:
        due.open_improvement(connection, "for the test")
    found = measured(settings, today)
    assert found["loop", "calls"] == (4.0, 4)
    assert found["loop", "answered share"] == (0.75, 4)
    assert found["task home", "success of base-1"] == (0.25, 4)
    assert found["loop", "decisions"] == (3.0, 3)
    assert found["loop", "contributions in seven days"] == (3.0, 3)
    price, tokens = found["loop", "price per million tokens"]
    assert tokens == 200
    # At 0.20 an hour: one or two minutes of the machine for 200 tokens.
    assert price == pytest.approx(16.67, rel=0.01) or price == pytest.approx(33.33, rel=0.01)
    assert ("cycle 0001", "time to update, s") in found


def test_a_day_without_calls_has_no_price(database, settings, today):
    found = measured(settings, today)
    assert found["loop", "price per million tokens"] == (None, 0)
    assert found["loop", "calls"] == (0.0, 0)


def test_metrics_hold_no_text_of_people(database, settings, today):
    measured(settings, today)
    frame = Lake(settings.lake).read(f"ecosystem/metrics/{today}.parquet")
    assert set(frame.schema) == {"day", "about", "metric", "value", "n"}
    assert frame.schema["value"] == pl.Float64
