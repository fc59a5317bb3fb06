"""What is replayed: what the champion does well, of who gave the corrections, nothing tested."""

from typing import Any

import pytest
import sqlalchemy as sa

from loop_platform.database import cycle_corrections, cycles, decisions, review_items
from loop_platform.defs.training.replay import replay
from loop_platform.identity import new_id
from loop_platform.lake import Lake
from loop_platform.settings import Settings
from loop_platform_tests.evaluation.traffic import Traffic


@pytest.fixture
def traffic(settings: Settings, database: sa.Engine) -> Traffic:
    return Traffic(database, Lake(settings.lake))


def _replayed(traffic: Traffic, rows: int = 50) -> list[str]:
    with traffic.database.connect() as connection:
        found = replay(
            connection,
            traffic.lake,
            champion="base",
            corrected={"commands"},
            tenants={"t"},
            rows=rows,
        )
    return sorted(found["answer"])


def _feedback(call: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"feedback_id": new_id(), "call_id": call["call_id"], "tenant": "t", **said}


def test_other_tasks_are_replayed_and_corrected_ones_are_not(traffic: Traffic) -> None:
    chat = traffic.call("base", "champion", "hello", "hi", task="chat")
    command = traffic.call("base", "champion", "pause the tv", "Sure!")
    traffic.arrive("telemetry/calls", [chat, command])
    assert _replayed(traffic) == ["hi"]


def test_a_corrected_task_is_replayed_where_somebody_said_that_it_succeeded(
    traffic: Traffic,
) -> None:
    good = traffic.call("base", "champion", "pause the tv", "paused")
    bad = traffic.call("base", "champion", "pause the radio", "what?")
    traffic.arrive("telemetry/calls", [good, bad])
    said = [_feedback(good, outcome=True), _feedback(bad, outcome=False)]
    traffic.arrive("telemetry/feedback", said)
    assert _replayed(traffic) == ["paused"]


def test_other_tenants_and_releases_and_shadows_are_not_replayed(traffic: Traffic) -> None:
    rows = [
        traffic.call("base", "champion", "one", "ours", task="chat"),
        traffic.call("base", "champion", "two", "theirs", task="chat", tenant="examiner"),
        traffic.call("r-1", "champion", "three", "another's", task="chat"),
        traffic.call("base", "shadow", "four", "a shadow's", task="chat"),
    ]
    traffic.arrive("telemetry/calls", rows)
    assert _replayed(traffic) == ["ours"]


def test_what_people_found_fault_with_is_not_replayed(traffic: Traffic) -> None:
    liked, disliked = (
        traffic.call("base", "champion", prompt, prompt, task="chat") for prompt in ("a", "b")
    )
    traffic.arrive("telemetry/calls", [liked, disliked])
    said = [_feedback(liked, rating=5), _feedback(disliked, rating=1)]
    traffic.arrive("telemetry/feedback", said)
    assert _replayed(traffic) == ["a"]


def test_what_a_cycle_held_out_is_not_replayed(traffic: Traffic) -> None:
    tested = traffic.call("base", "champion", "hello", "hi", task="chat")
    other = traffic.call("base", "champion", "good morning", "morning", task="chat")
    traffic.arrive("telemetry/calls", [tested, other])
    with traffic.database.begin() as connection:
        _hold_out(connection, "hello")
    assert _replayed(traffic) == ["morning"]


def test_rows_are_spread_over_the_tasks(traffic: Traffic) -> None:
    rows = [
        traffic.call("base", "champion", f"{task} {n}", task, task=task)
        for task, calls in (("chat", 8), ("search", 2))
        for n in range(calls)
    ]
    traffic.arrive("telemetry/calls", rows)
    assert _replayed(traffic, rows=4) == ["chat", "chat", "search", "search"]


def _hold_out(connection: sa.Connection, prompt: str) -> None:
    item_id, decision_id = new_id(), new_id()
    item = {
        "item_id": item_id,
        "tenant": "t",
        "task": "commands",
        "cluster": "c",
        "messages": [{"role": "user", "content": prompt}],
        "flags": [],
        "feedback": [],
        **dict.fromkeys(("harm", "impact", "novelty", "uncertainty", "priority"), 0.0),
    }
    decision = {"decision_id": decision_id, "item_id": item_id, "reviewer": "r"}
    connection.execute(sa.insert(review_items).values(item))
    connection.execute(sa.insert(decisions).values(decision | {"verdict": "accept"}))
    values = {"cycle": "0001", "kind": "improvement", "reason": "enough"}
    connection.execute(sa.insert(cycles).values(values))
    row = {"cycle": "0001", "decision_id": decision_id, "contributor": "a", "split": "heldout"}
    connection.execute(sa.insert(cycle_corrections).values(row))
