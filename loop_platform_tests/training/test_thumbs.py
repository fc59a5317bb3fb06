"""What is learnt from ratings: of whom, of what, and what not."""

from typing import Any

import pytest
import sqlalchemy as sa

from loop_platform.database import decisions, review_feedback, review_items
from loop_platform.defs.training.thumbs import lines, thumbs
from loop_platform.identity import new_id
from loop_platform.lake import Lake
from loop_platform.settings import Settings
from loop_platform_tests.evaluation.traffic import Traffic


@pytest.fixture
def traffic(settings: Settings, database: sa.Engine) -> Traffic:
    return Traffic(database, Lake(settings.lake))


def _found(traffic: Traffic, rows: int = 50, share: float = 1.0) -> dict[str, bool]:
    """Liked or not, by answer."""
    with traffic.database.connect() as connection:
        found = thumbs(connection, traffic.lake, tenants={"t"}, share=share, rows=rows)
    return {line["answer"]: line["liked"] for line in lines(found)}


def _rated(traffic: Traffic, *said: dict[str, Any] | None, **fields: Any) -> list[dict[str, Any]]:
    """Calls, each with what was said of it, and answered by its place."""
    calls = [
        traffic.call("base", "champion", f"prompt {at}", str(at), **fields)
        for at in range(len(said))
    ]
    traffic.arrive("telemetry/calls", calls)
    feedback = [
        {"feedback_id": new_id(), "call_id": call["call_id"], "tenant": "t", "contributor": "ann"}
        | what
        for call, what in zip(calls, said, strict=True)
        if what is not None
    ]
    if feedback:
        traffic.arrive("telemetry/feedback", feedback)
    return calls


def test_ratings_and_outcomes_are_likes_and_dislikes(traffic: Traffic) -> None:
    said = [{"rating": 5}, {"rating": 2}, {"rating": 3}, {"outcome": True}, {"outcome": False}]
    _rated(traffic, *said, {"report": "rude"}, None)

    assert _found(traffic) == {"0": True, "1": False, "3": True, "4": False, "5": False}


def test_where_nobody_said_anything_there_is_nothing(traffic: Traffic) -> None:
    _rated(traffic, None)

    assert _found(traffic) == {}


def test_what_was_corrected_teaches_by_its_correction_alone(traffic: Traffic) -> None:
    calls = _rated(traffic, {"rating": 1}, {"correction": "better"}, {"rating": 1})
    _decide(traffic, calls[0], "correct")

    assert _found(traffic) == {"2": False}


def test_a_complaint_that_a_reviewer_did_not_share_is_none(traffic: Traffic) -> None:
    calls = _rated(traffic, {"rating": 1}, {"rating": 5}, {"rating": 1})
    _decide(traffic, calls[0], "reject")
    _decide(traffic, calls[1], "reject")

    assert _found(traffic) == {"1": True, "2": False}


def test_who_was_called_malicious_is_not_heard(traffic: Traffic) -> None:
    calls = _rated(traffic, {"rating": 1, "contributor": "eve"}, {"rating": 1})
    _decide(traffic, calls[0], "malicious", contributor="eve")
    _rated(traffic, {"rating": 5, "contributor": "eve"}, task="other")

    assert _found(traffic) == {"1": False}


def test_nobody_speaks_louder_than_their_share(traffic: Traffic) -> None:
    said = [{"rating": 1, "contributor": who} for who in "aaaaaabcd"]
    _rated(traffic, *said)

    assert len(_found(traffic, share=0.25)) == 4


def test_there_are_as_many_of_each_kind(traffic: Traffic) -> None:
    _rated(traffic, *[{"rating": 5}] * 6, *[{"rating": 1}] * 2)

    assert sorted(_found(traffic, rows=4).values()) == [False, False, True, True]
    assert _found(traffic, rows=0) == {}


def test_other_tenants_shadows_and_what_did_not_end_teach_nothing_of_an_end(
    traffic: Traffic,
) -> None:
    _rated(traffic, {"rating": 5}, tenant="examiner")
    _rated(traffic, {"rating": 5}, task="a", complete=False)
    _rated(traffic, {"rating": 5}, task="b", finish_reason="length")

    with traffic.database.connect() as connection:
        found = thumbs(connection, traffic.lake, tenants={"t"}, share=1.0, rows=9)
    assert [line["ended"] for line in lines(found)] == [False]


def _decide(traffic: Traffic, call: dict[str, Any], verdict: str, contributor: str = "ann") -> None:
    item = {
        "item_id": call["call_id"],
        "call_id": call["call_id"],
        "tenant": "t",
        "task": "commands",
        "cluster": "c",
        "messages": [{"role": "user", "content": "something else altogether"}],
        "flags": [],
        "feedback": [],
        **dict.fromkeys(("harm", "impact", "novelty", "uncertainty", "priority"), 0.0),
    }
    said = {"feedback_id": new_id(), "item_id": call["call_id"], "tenant": "t"}
    decision = {"decision_id": new_id(), "item_id": call["call_id"], "reviewer": "r"}
    with traffic.database.begin() as connection:
        connection.execute(sa.insert(review_items).values(item))
        connection.execute(
            sa.insert(review_feedback).values(
                said | {"contributor": contributor, "received_at": sa.func.now()}
            )
        )
        connection.execute(sa.insert(decisions).values(decision | {"verdict": verdict}))
