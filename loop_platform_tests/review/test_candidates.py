import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.database import review_items
from loop_platform.defs.resources import resources
from loop_platform.defs.review.assets import candidates
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform_tests.review.lakes import arrived, call, contribution, feedback, signal
from loop_platform_tests.review.queues import vector

HOUR_MS = 3_600_000


@pytest.fixture
def lake(settings) -> Lake:
    return Lake(settings.lake)


def run(settings, hour):
    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize(
        [candidates], partition_key=hour, resources=resources(settings), instance=instance
    )
    event = result.asset_materializations_for_node("review__candidates")[0]
    return {name: value.value for name, value in event.metadata.items()}


def items(database) -> pl.DataFrame:
    with database.connect() as connection:
        return pl.DataFrame(
            [dict(row) for row in connection.execute(sa.select(review_items)).mappings()]
        )


def kind(number: int) -> list[float]:
    return vector(number, of=384).tolist()


def test_flags_objections_and_contributions_are_queued(database, settings, lake):
    flagged, disliked, fine = call("a"), call("b"), call("c")
    shadow = call("d", route="shadow", pair_id=fine["call_id"])
    arrived(database, lake, "telemetry/calls", flagged, disliked, fine, shadow)
    arrived(
        database,
        lake,
        "monitoring/signals",
        signal(flagged, kind(0), "refusal"),
        signal(disliked, kind(1)),
        signal(fine, kind(2)),
        signal(shadow, kind(2), "refusal"),
    )
    arrived(
        database,
        lake,
        "telemetry/feedback",
        feedback(disliked, "outcome", outcome=False),
        feedback(fine, "rating", rating=5),
        contribution("what is 6 × 7?", "42"),
    )
    told = run(settings, hour_of(flagged["call_id"]))
    queue = items(database)
    assert set(queue["call_id"]) == {flagged["call_id"], disliked["call_id"], None}
    assert (told["items added"], told["new flagged calls"]) == (3, 1)
    assert told["left: feedback that asks for no decision"] == 1
    assert queue.filter(pl.col("call_id").is_null())["proposed"].to_list() == ["42"]


def test_a_second_run_of_the_hour_adds_nothing(database, settings, lake):
    flagged = call()
    arrived(database, lake, "telemetry/calls", flagged)
    arrived(database, lake, "monitoring/signals", signal(flagged, kind(0), "refusal"))
    hour = hour_of(flagged["call_id"])
    assert run(settings, hour)["items added"] == 1
    again = run(settings, hour)
    assert (again["items added"], again["dagster/row_count"]) == (0, 1)


def test_feedback_on_a_call_of_another_hour_finds_it(database, settings, lake):
    correction = feedback(call(), "correction", correction="Done.")
    old = new_id(int(correction["received_at"] * 1000) - 30 * HOUR_MS)
    correction |= {"call_id": old}
    arrived(database, lake, "telemetry/calls", call(call_id=old))
    arrived(database, lake, "telemetry/feedback", correction)
    run(settings, hour_of(correction["feedback_id"]))
    assert items(database)["proposed"].to_list() == ["Done."]


def test_feedback_that_comes_before_its_call_waits_for_it(database, settings, lake):
    late = call(call_id=new_id(int(call()["started_at"] * 1000) - 3 * HOUR_MS))
    correction = feedback(late, "correction", correction="Done.")
    arrived(database, lake, "telemetry/feedback", correction)
    told = run(settings, hour_of(correction["feedback_id"]))
    assert told["left: feedback whose call has not arrived"] == 1
    arrived(database, lake, "telemetry/calls", late)
    told = run(settings, hour_of(late["call_id"]))
    assert told["items added"] == 1
