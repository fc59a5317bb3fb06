"""What is old and nobody labelled goes; what was labelled stays."""

from collections.abc import Callable

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.database import (
    call_counts,
    cycle_corrections,
    cycles,
    decisions,
    review_items,
    segment_hours,
    segments,
    superseded_files,
)
from loop_platform.definitions import defs
from loop_platform.defs.resources import LoopResource, resources
from loop_platform.defs.telemetry.retention import daily_expiry
from loop_platform.defs.telemetry.retention import expired as expired_asset
from loop_platform.identity import hour_of, milliseconds_of, new_id
from loop_platform.lake import Lake
from loop_platform.retention.expiry import Expired, Expiry
from loop_platform.settings import RetentionSettings, Settings
from loop_platform_tests.cli.test_commands import item
from loop_platform_tests.retention.conftest import Past, ago
from loop_platform_tests.segments import a_call, a_contribution, a_feedback, lines

Expire = Callable[..., Expired]


@pytest.fixture
def expire(database: sa.Engine, lake: Lake) -> Expire:
    def run(*, dry: bool = False, **settings: object) -> Expired:
        return Expiry(database, lake, RetentionSettings(**settings)).run(dry=dry)  # type: ignore[arg-type]

    return run


def test_calls_go_when_their_time_is_over_and_not_before(past: Past, expire: Expire) -> None:
    old, young = a_call(call_id=ago(31)), a_call(call_id=ago(29))
    past.ship(old, young)
    past.settle()
    expired = expire(days=30)
    assert past.calls() == past.signals() == {young.call_id}
    assert (expired.removed.calls, expired.removed.lines) == (1, 1)
    assert expired.removed.calls_by_tenant == {"acme": 1}
    assert past.rebuilt() == {young.call_id}


def test_each_tenant_has_a_time_of_its_own(past: Past, expire: Expire) -> None:
    short, long, ever = (
        a_call(call_id=ago(10, minute), tenant=tenant)
        for minute, tenant in enumerate(("short", "long", "ever"))
    )
    past.ship(short, long, ever)
    past.settle()
    expire(days_by_tenant={"short": 7, "long": 20})
    assert past.calls() == past.rebuilt() == {long.call_id, ever.call_id}


def test_nothing_goes_where_no_time_is_set(past: Past, expire: Expire) -> None:
    past.ship(a_call(call_id=ago(300)))
    past.settle()
    expired = expire()
    assert (expired.hours, expired.removed.calls) == (0, 0)
    assert len(past.calls()) == 1


def test_what_was_labelled_stays(past: Past, expire: Expire, database: sa.Engine) -> None:
    rated, reviewed, member, plain = (a_call(call_id=ago(40, minute)) for minute in range(4))
    contribution = a_contribution(feedback_id=ago(40, 5))
    said = a_feedback(rated.call_id, feedback_id=ago(39), kind="rating", rating=5, correction=None)
    past.ship(rated, reviewed, member, plain, contribution)
    past.ship(said)
    past.settle()
    with database.begin() as connection:
        for call in (reviewed, member):
            connection.execute(sa.insert(review_items).values(item(call.call_id, "open")))
        learn(connection, member.call_id)
    expired = expire(days=30)
    assert past.calls() == {rated.call_id, reviewed.call_id, member.call_id}
    assert past.feedback() == {said.feedback_id, contribution.feedback_id}
    assert (expired.labelled, expired.removed.calls) == (3, 1)
    assert past.rebuilt() == {rated.call_id, reviewed.call_id, member.call_id}
    assert past.feedback() == {said.feedback_id, contribution.feedback_id}


def learn(connection: sa.Connection, call_id: str, cycle: str = "0001") -> str:
    """Makes the review item of the call a member of a cycle's training set."""
    decision = f"d-{call_id}"
    connection.execute(
        sa.insert(decisions).values(
            decision_id=decision, item_id=call_id, reviewer="lena", verdict="correct", chosen="ok"
        )
    )
    known = sa.dialects.postgresql.insert(cycles).values(cycle=cycle, kind="improvement", reason="")
    connection.execute(known.on_conflict_do_nothing())
    connection.execute(
        sa.insert(cycle_corrections).values(
            cycle=cycle, decision_id=decision, contributor="ada", split="train"
        )
    )
    return decision


def test_feedback_that_telemetry_has_not_taken_up_spares_its_call(
    past: Past, expire: Expire
) -> None:
    call = a_call(call_id=ago(40))
    past.ship(call)
    past.settle()
    past.ship(a_feedback(call.call_id))
    assert expire(days=30).labelled == 1
    assert past.calls() == {call.call_id}


def test_an_hour_that_telemetry_has_not_taken_up_waits(past: Past, expire: Expire) -> None:
    first, late = a_call(call_id=ago(40)), a_call(call_id=ago(40, 1))
    past.ship(first)
    past.settle()
    past.ship(late)
    expired = expire(days=30)
    assert expired.waiting == [hour_of(first.call_id)]
    assert past.calls() == {first.call_id}
    past.settle()
    expire(days=30)
    assert past.calls() == past.rebuilt() == set()


def test_a_segment_of_which_nothing_is_left_goes_altogether(
    past: Past, expire: Expire, database: sa.Engine
) -> None:
    past.ship(a_call(call_id=ago(40)))
    past.settle()
    expired = expire(days=30)
    assert expired.removed.segments == 1
    with database.connect() as connection:
        for table in (segments, segment_hours, call_counts):
            assert connection.execute(sa.select(table)).all() == []
    assert past.parts() == 0


def test_the_files_go_once_nobody_reads_them(
    past: Past, expire: Expire, database: sa.Engine
) -> None:
    past.ship(a_call("a secret", call_id=ago(40)), a_call(call_id=ago(1)))
    past.settle()
    expire(days=30)
    assert past.bytes_with("a secret")
    with database.begin() as connection:
        long_ago = sa.text("superseded_at - interval '1 hour'")
        connection.execute(sa.update(superseded_files).values(superseded_at=long_ago))
    assert expire(days=30).swept >= 2
    assert past.bytes_with("a secret") == []


def test_counts_follow_and_keep_the_time_they_were_made(
    past: Past, expire: Expire, database: sa.Engine
) -> None:
    gone, stays, other = (a_call(call_id=ago(40, minute)) for minute in range(3))
    past.ship(gone, stays, a_feedback(stays.call_id), a_call(call_id=other.call_id, task="b"))
    past.settle()
    columns = (call_counts.c.task, call_counts.c.calls, call_counts.c.counted_at)
    with database.connect() as connection:
        before = {task: at for task, _, at in connection.execute(sa.select(*columns))}
    expire(days=30)
    with database.connect() as connection:
        assert connection.execute(sa.select(*columns)).all() == [("chat", 1, before["chat"])]


def test_it_goes_by_batches_and_says_so(past: Past, expire: Expire) -> None:
    past.ship(*(a_call(call_id=ago(40 + day)) for day in range(5)))
    past.settle()
    only_counted = expire(dry=True, days=30, hours_a_batch=2)
    assert (only_counted.batches, only_counted.removed.calls) == (3, 5)
    assert len(past.calls()) == 5
    expired = expire(days=30, hours_a_batch=2)
    assert (expired.batches, expired.hours, expired.removed.calls) == (3, 5, 5)
    again = expire(days=30, hours_a_batch=2)
    assert (again.batches, again.removed.calls) == (0, 0)


def test_unreadable_lines_go_when_the_last_tenants_calls_do(
    past: Past, expire: Expire, database: sa.Engine
) -> None:
    call = a_call(call_id=ago(40))
    segment_id = past.ship(call, a_feedback(call.call_id), tail=b'{"torn secret')
    past.settle()
    with database.begin() as connection:  # as if it had been sealed then
        older = ago(40)
        for table in (segment_hours, call_counts):
            connection.execute(sa.delete(table))
        connection.execute(sa.text("UPDATE parts SET segment_id = :to"), {"to": older})
        connection.execute(sa.text("UPDATE segments SET segment_id = :to"), {"to": older})
    past.lake.filesystem.mv(
        past.lake.path(f"telemetry/corrupt/{segment_id}.jsonl"),
        past.lake.path(f"telemetry/corrupt/{older}.jsonl"),
    )
    expire(days=30, days_by_tenant={"acme": 60})
    assert past.bytes_with("torn secret")
    expire(days=30)
    with database.begin() as connection:
        long_ago = sa.text("superseded_at - interval '1 hour'")
        connection.execute(sa.update(superseded_files).values(superseded_at=long_ago))
    expire(days=30)
    assert past.bytes_with("torn secret") == []
    assert past.calls() == {call.call_id}


def test_a_call_of_now_has_its_whole_time(past: Past, expire: Expire) -> None:
    past.ship(a_call(call_id=new_id()))
    past.settle()
    assert expire(days=0.001).removed.calls == 0


def test_the_asset_says_what_it_deleted_and_spared(
    past: Past, settings: Settings, database: sa.Engine
) -> None:
    plain, rated = a_call(call_id=ago(40)), a_call(call_id=ago(40, 1))
    past.ship(plain, rated, a_feedback(rated.call_id))
    past.settle()
    kept = settings.model_copy(update={"retention": RetentionSettings(days=30)})
    result = dg.materialize([expired_asset], resources=resources(kept))
    (made,) = result.asset_materializations_for_node("telemetry__expired")
    told = {name: value.value for name, value in made.metadata.items()}
    assert (told["calls deleted"], told["calls spared: labelled"]) == (1, 1)
    assert told["calls deleted by tenant"] == {"acme": 1}
    assert "1 calls deleted (1 of acme)" in str(told["summary"])
    assert past.calls() == {rated.call_id}


def test_it_runs_every_day_by_itself_where_a_time_is_set(settings: Settings) -> None:
    (schedule,) = [one for one in defs().schedules or [] if one.name == "daily_expiry"]
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING  # type: ignore[union-attr]
    kept = settings.model_copy(update={"retention": RetentionSettings(days_by_tenant={"a": 3})})
    for given, becomes in ((settings, dg.SkipReason), (kept, dg.RunRequest)):
        with dg.build_schedule_context(resources={"loop": LoopResource.of(given)}) as context:
            assert isinstance(daily_expiry(context), becomes)


def test_lines_that_tell_of_a_call_before_it_ended_go_with_it(past: Past, expire: Expire) -> None:
    """As a newer gateway writes them, in this segment or in one of the next hour."""
    gone, stays = a_call("my secret", call_id=ago(40, 59)), a_call("other", call_id=ago(20))
    begun = [b'{"record":"opened","call":%s}\n' % lines([call]).strip() for call in (gone, stays)]
    past.ship(gone)
    past.ship(a_call(call_id=ago(20, 1)), stays, tail=begun[1])
    past.ship(a_feedback(stays.call_id, feedback_id=next_hour_of(gone.call_id)), tail=begun[0])
    past.settle()
    expire(days=30)
    assert "segments" not in {path.split("/")[0] for path in past.current("my secret")}
    assert len([path for path in past.current("opened") if path.startswith("segments")]) == 1


def next_hour_of(call_id: str) -> str:
    return new_id(milliseconds_of(call_id) + 3_600_000)
