"""A person's data goes from everywhere, and what learned from it is named."""

import json
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.database import (
    cycle_corrections,
    decisions,
    judge_records,
    objections,
    pair_verdicts,
    releases,
    review_feedback,
    review_items,
    segments,
)
from loop_platform.defs.telemetry.parts import HeldHour
from loop_platform.gateway.kept import KEPT_ANSWERS, KeptAnswers
from loop_platform.identity import hour_of, new_id
from loop_platform.judging import people
from loop_platform.keys import create_key
from loop_platform.lake import Lake
from loop_platform.observer import conduct
from loop_platform.retention.erasure import Erased, erase
from loop_platform.retention.traces import Subject
from loop_platform.settings import Settings
from loop_platform_tests.cli.test_commands import item
from loop_platform_tests.gateway.loop import eventually
from loop_platform_tests.retention.conftest import Past, ago
from loop_platform_tests.retention.test_expiry import learn
from loop_platform_tests.segments import a_call, a_contribution, a_feedback, lines


@pytest.fixture
def settings(settings: Settings) -> Settings:
    (settings.data_dir / "cycles").mkdir(parents=True)
    return settings


class Eraser:
    def __init__(self, settings: Settings, database: sa.Engine, lake: Lake) -> None:
        self._of = (database, lake, settings.data_dir)

    def __call__(self, **subject: str) -> Erased:
        return erase(*self._of, Subject(**subject))


@pytest.fixture
def eraser(settings: Settings, database: sa.Engine, lake: Lake) -> Eraser:
    return Eraser(settings, database, lake)


def queued(connection: sa.Connection, call_id: str, **more: Any) -> None:
    connection.execute(sa.insert(review_items).values(item(call_id, "decided") | more))


def released(connection: sa.Connection, name: str, **more: Any) -> None:
    connection.execute(
        sa.insert(releases).values(
            release=name, weights_path="/none", state="champion", record={}, **more
        )
    )


def test_a_call_goes_with_its_shadow_its_feedback_and_its_journal_lines(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    call, other = a_call("my secret", call_id=ago(2)), a_call(call_id=ago(2, 1))
    shadow = a_call("my secret", call_id=ago(2, 2), route="shadow", pair_id=call.call_id)
    said, also = a_feedback(call.call_id, comment="my secret"), a_feedback(other.call_id)
    past.ship(call, other)
    past.ship(shadow, said, also)
    past.ship(call)  # an exporter sent it again
    past.settle()
    with database.begin() as connection:
        conduct.take(connection, [said, also])
    assert past.bytes_with("my secret")
    erased = eraser(call_id=call.call_id)
    assert past.bytes_with("my secret") == []
    assert past.bytes_with(call.call_id) == []
    assert past.calls() == past.signals() == past.rebuilt() == {other.call_id}
    assert past.feedback() == {also.feedback_id}
    with database.connect() as connection:
        assert list(connection.scalars(sa.select(objections.c.call_id))) == [other.call_id]
    assert (erased.removed.calls, erased.removed.feedback, erased.removed.lines) == (2, 1, 4)
    assert eraser(call_id=call.call_id).anything is False


def test_a_user_goes_and_the_same_name_elsewhere_stays(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    mine = [a_call(call_id=ago(day), user="eve") for day in (1, 40)]
    namesake = a_call(call_id=ago(3), user="eve", tenant="other")
    neighbour = a_call(call_id=ago(3, 1), user="bob")
    with database.begin() as connection:
        create_key(connection, "contributor", "acme", "app")
    by_me = a_feedback(neighbour.call_id, contributor="app/eve", comment="mine")
    not_by_me = a_feedback(neighbour.call_id, contributor="x/app/eve")
    example = a_contribution(contributor="app/eve")
    past.ship(*mine, namesake, neighbour)
    past.ship(by_me, not_by_me, example)
    past.settle()
    erased = eraser(user="eve", tenant="acme")
    assert past.calls() == past.rebuilt() == {namesake.call_id, neighbour.call_id}
    assert past.feedback() == {not_by_me.feedback_id}
    assert (erased.removed.calls, erased.removed.feedback) == (2, 2)


def test_what_telemetry_has_not_taken_up_goes_too(past: Past, eraser: Eraser) -> None:
    call, other = a_call("my secret", user="eve"), a_call(user="bob")
    past.ship(call, other, a_feedback(call.call_id))
    eraser(user="eve", tenant="acme")
    assert past.bytes_with("my secret") == []
    past.settle()
    assert past.calls() == {other.call_id}
    assert past.feedback() == set()


def test_lines_that_nobody_can_read_go_where_they_name_the_person(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    call, other = a_call(user="eve", call_id=ago(2)), a_call(user="bob", call_id=ago(2, 1))
    torn = lines([a_call("my secret", user="eve", call_id=new_id())]).rstrip(b"\n")[:-2]
    past.ship(call, other, tail=b'{"torn": "of another"}\n' + torn)
    past.settle()
    assert len(past.bytes_with("my secret")) == 2  # the journal, and what is kept aside
    eraser(user="eve", tenant="acme")
    assert past.bytes_with("my secret") == []
    assert len(past.bytes_with("of another")) == 2
    assert past.rebuilt() == {other.call_id}


def test_the_queue_the_decisions_and_the_lineage_go(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    mine, other = a_call(user="eve", call_id=ago(2)), a_call(user="bob", call_id=ago(2, 1))
    past.ship(mine, other)
    past.settle()
    with database.begin() as connection:
        for call in (mine, other):
            queued(connection, call.call_id)
            learn(connection, call.call_id)
        connection.execute(
            sa.insert(review_feedback).values(
                feedback_id="f", item_id=mine.call_id, tenant="acme", contributor="ada"
            )
        )
    erased = eraser(call_id=mine.call_id)
    assert (erased.review_items, erased.decisions) == (1, 1)
    with database.connect() as connection:
        for table, left in (
            (review_items, 1),
            (decisions, 1),
            (cycle_corrections, 1),
            (review_feedback, 0),
        ):
            assert len(connection.execute(sa.select(table)).all()) == left, table.name


def test_what_people_and_judges_said_of_its_answers_goes(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    mine, other = a_call(call_id=ago(2)), a_call(call_id=ago(2, 1))
    past.ship(mine, other)
    past.settle()
    with database.begin() as connection:
        released(connection, "r-1")
        queued(connection, mine.call_id)
        decision = learn(connection, mine.call_id)
        for call in (mine, other):
            people.show(connection, "ada", "r-1", "chat", call.call_id)
        pairs = [f"{call.call_id}/ada{end}" for call in (mine, other) for end in ("", "#planted")]
        for subject in (*pairs, decision):
            of = {"judge": "j", "task": "chat", "source": "pair", "person_said": "tie"}
            decided = sa.func.clock_timestamp()
            row = {"identity": "i", "subject": subject, "decided_at": decided, **of}
            connection.execute(sa.insert(judge_records).values(row))
    eraser(call_id=mine.call_id)
    with database.connect() as connection:
        left = set(connection.scalars(sa.select(judge_records.c.subject)))
        assert left == {f"{other.call_id}/ada", f"{other.call_id}/ada#planted"}
        assert connection.scalars(sa.select(pair_verdicts.c.pair_id)).all() == [other.call_id]


def test_an_item_that_the_persons_correction_went_into_goes(
    past: Past, eraser: Eraser, database: sa.Engine
) -> None:
    other = a_call(user="bob", call_id=ago(2))
    with database.begin() as connection:
        create_key(connection, "contributor", "acme", "app")
        queued(connection, other.call_id, proposed="by eve")
        said = a_feedback(other.call_id, contributor="app/eve")
        connection.execute(
            sa.insert(review_feedback).values(
                feedback_id=said.feedback_id,
                item_id=other.call_id,
                tenant="acme",
                contributor="app/eve",
            )
        )
    past.ship(other, said)
    past.settle()
    assert eraser(user="eve", tenant="acme").review_items == 1
    assert past.calls() == {other.call_id}


def test_the_datasets_go_and_the_adapters_that_learned_are_named(
    past: Past, eraser: Eraser, database: sa.Engine, settings: Settings, lake: Lake
) -> None:
    mine = a_call("my secret", user="eve", call_id=ago(2))
    other = a_call("something else", user="bob", call_id=ago(2, 1))
    past.ship(mine, other)
    past.settle()
    said = {call.call_id: json.loads(bytes(call.request))["messages"] for call in (mine, other)}
    with database.begin() as connection:
        for call_id, messages in said.items():
            queued(connection, call_id, messages=messages)
        learn(connection, mine.call_id, "0001")
        learn(connection, other.call_id, "0003")
        released(connection, "base")
        released(connection, "r-1", cycle="0001", parent="base", adapter="a1")
        released(connection, "r-2", cycle="0002", parent="base", adapter="a2")
        released(connection, "r-3", cycle="0003", parent="base", adapter="a3")
        released(connection, "r-4", cycle="0004", parent="r-1", adapter="a4")
    corrections = pl.DataFrame(
        [
            {"decision_id": f"d-{call_id}", "call_id": call_id, "messages": json.dumps(messages)}
            for call_id, messages in said.items()
        ]
    )
    lake.write(corrections, "curation/corrections/0001.parquet")
    asked = pl.DataFrame({"prompt": ["my secret", "something else", None]})
    lake.write(asked, "evaluation/offline/0001.parquet")
    _training_file(settings.data_dir / "cycles" / "0001" / "corrections.jsonl", said.values())
    _training_file(settings.data_dir / "cycles" / "0002" / "replay.jsonl", said.values())
    erased = eraser(user="eve", tenant="acme")
    assert erased.dataset_rows == {
        "curation/corrections": 1,
        "evaluation/offline": 1,
        "corrections.jsonl": 1,
        "replay.jsonl": 1,
    }
    assert past.bytes_with("my secret") == []
    assert past.bytes_with("something else")
    for file in (settings.data_dir / "cycles").glob("*/*.jsonl"):
        assert [json.loads(line)["messages"] for line in file.open()] == [said[other.call_id]]
    assert [(one.release, one.adapter, one.how) for one in erased.learners] == [
        ("r-1", "a1", "trained on a correction of it"),
        ("r-2", "a2", "trained to keep an answer of it"),
        ("r-4", "a4", "trained on top of r-1"),
    ]


def _training_file(path: Path, conversations: Any) -> None:
    path.parent.mkdir()
    rows = [json.dumps({"messages": said, "answer": "ok"}) + "\n" for said in conversations]
    path.write_text("".join(rows))


def test_the_manifest_still_agrees_with_the_lake(
    past: Past, eraser: Eraser, database: sa.Engine, lake: Lake
) -> None:
    call = a_call(call_id=ago(2))
    past.ship(call, a_call(call_id=ago(2, 1)))
    past.settle()
    eraser(call_id=call.call_id)
    with database.connect() as connection:
        (row,) = connection.execute(sa.select(segments)).all()
    content = lake.read_bytes(row.path)
    assert (row.bytes, row.lines) == (len(content), 1)
    assert [path for path in past.bytes_with("") if path.startswith("segments/")] == [row.path]


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ({}, "name a call or a user"),
        ({"call_id": "a", "user": "b"}, "name a call or a user"),
        ({"user": "b"}, "of which tenant"),
        ({"call_id": "no id"}, "badly formed"),
    ],
)
def test_a_subject_that_is_none_is_refused(subject: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Subject(**subject)


def test_who_holds_an_hour_is_waited_for_and_nobody_holds_one_meanwhile(
    past: Past, eraser: Eraser, database: sa.Engine, lake: Lake
) -> None:
    call = a_call(call_id=ago(2))
    past.ship(call)
    past.settle()
    with database.begin() as converting:
        HeldHour(converting, lake, "telemetry/calls", hour_of(ago(30)))
        erasing = threading.Thread(target=eraser, kwargs={"call_id": call.call_id})
        erasing.start()
        eventually(lambda: _waits_for_a_lock(database))
        assert past.calls() == {call.call_id}
    erasing.join(30)
    assert past.calls() == set()


def _waits_for_a_lock(database: sa.Engine) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with database.connect() as connection:
        return bool(connection.scalar(sa.text(query)))


def test_a_person_of_many_hours(past: Past, eraser: Eraser) -> None:
    """Each hour a lock of its own would be more locks than PostgreSQL has room for."""
    calls = [a_call(user="eve", call_id=ago(day / 24)) for day in range(1, 5000)]
    past.ship(*calls)
    erased = eraser(user="eve", tenant="acme")
    assert erased.removed.lines == len(calls)
    assert past.bytes_with("eve") == []


def test_lines_that_tell_of_a_persons_call_before_it_ended_go(past: Past, eraser: Eraser) -> None:
    calls = [
        a_call("my secret", user="eve", call_id=ago(2)),
        a_call("not mine", user="eve", tenant="other", call_id=ago(2)),
    ]
    begun = b"".join(b'{"record":"opened","call":%s}\n' % lines([c]).strip() for c in calls)
    past.ship(a_call(call_id=ago(2, 1)), tail=begun)
    past.ship(*calls)
    past.settle()
    eraser(user="eve", tenant="acme")
    assert past.bytes_with("my secret") == []
    assert past.bytes_with("not mine")


def test_answers_that_are_kept_for_retries_go_and_those_being_written_stay(
    settings: Settings, eraser: Eraser
) -> None:
    kept = KeptAnswers(settings.data_dir / KEPT_ANSWERS, ttl_s=3600, max_bytes=1 << 20)
    whole, held = kept.open("0" * 64), kept.open("1" * 64)
    for answer in (whole, held):
        assert answer.hold()
        answer.begin("f" * 64)
        answer.write(b"my secret")
    whole.keep()
    whole.let_go()

    erased = eraser(user="nobody", tenant="t")

    assert erased.kept_answers == 1
    assert (whole.gone, held.gone) == (True, False)
    whole.close()
    held.close()
