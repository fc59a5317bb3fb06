from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from loop_platform.console.queue import Decision, decide
from loop_platform.database import cycle_corrections, cycles, moves, releases
from loop_platform.defs.curation import due
from loop_platform.journey import journey
from loop_platform.turns import Spread, turns
from loop_platform_tests.curation.accepting import ADA
from loop_platform_tests.review.queues import candidate, queued, said

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def correction():
    return said("correction", "dev", correction="Done.") | {"received_at": START.timestamp()}


@pytest.fixture
def call(database, correction):
    found = candidate(feedback=[correction])
    queued(database, found)
    return found


def told(database, correction, tenant="acme"):
    with database.connect() as connection:
        return journey(connection, correction["feedback_id"], tenant)


def stations(database, correction):
    return [entry["station"] for entry in told(database, correction)["stations"]]


def decided(database, call, verdict):
    with database.begin() as connection:
        return decide(connection, ADA, call.item_id, Decision(verdict))


def used(database, decision_id, correction, split="train", reason=None):
    with database.begin() as connection:
        cycle = due.open_improvement(connection, "for the test")
        connection.execute(sa.update(cycles).values(opened_at=START + timedelta(minutes=2)))
        connection.execute(
            sa.insert(cycle_corrections).values(
                cycle=cycle,
                decision_id=decision_id,
                feedback_id=correction["feedback_id"],
                contributor="dev",
                split=split,
                reason=reason,
            )
        )
    return cycle


def moved(database, cycle, *states):
    """A release of the cycle that came this far, a minute a state."""
    at, before = START + timedelta(minutes=3), None
    with database.begin() as connection:
        values = {"release": "r-1", "cycle": cycle, "weights_path": "w", "record": {}}
        connection.execute(sa.insert(releases).values(**values, state=states[-1], created_at=at))
        for state in states:
            evidence = {"scores": [{"task": "home"}]} if before == "registered" else {}
            move = {"release": "r-1", "from_state": before, "to_state": state, "actor": "test"}
            connection.execute(
                sa.insert(moves).values(**move, reason="…", evidence=evidence, moved_at=at)
            )
            at, before = at + timedelta(minutes=1), state


def test_feedback_is_followed_from_its_arrival_into_production(database, call, correction):
    assert stations(database, correction) == ["received", "in review"]
    decision_id = decided(database, call, "accept")
    assert stations(database, correction)[2:] == ["accepted"]
    cycle = used(database, decision_id, correction)
    assert stations(database, correction)[3:] == ["in cycle"]
    moved(database, cycle, "registered", "evaluated", "shadow", "canary", "champion")
    assert stations(database, correction)[4:] == ["trained", "in production"]
    whole = told(database, correction)
    assert (whole["state"], whole["release"]) == ("in production", "r-1")
    assert whole["stations"][-1]["at"] == "2026-11-23T09:07:00+00:00"


@pytest.mark.parametrize("verdict", ["reject", "malicious"])
def test_what_is_turned_away_is_declined_whatever_the_reason(database, call, correction, verdict):
    decided(database, call, verdict)
    assert told(database, correction)["state"] == "declined"
    assert verdict not in str(told(database, correction))


def test_what_is_kept_out_of_a_cycle_says_why(database, call, correction):
    used(database, decided(database, call, "accept"), correction, "quarantine", "it is too long")
    last = told(database, correction)["stations"][-1]
    assert (last["station"], last["reason"]) == ("quarantined", "it is too long")


def test_a_skip_decides_nothing(database, call, correction):
    decided(database, call, "skip")
    assert told(database, correction)["state"] == "in review"


def test_unknown_feedback_and_that_of_other_tenants_has_no_journey(database, call, correction):
    assert told(database, correction, tenant="rival") is None
    assert told(database, {"feedback_id": "none"}) is None


def test_a_turn_says_where_its_time_went(database, call, correction):
    cycle = used(database, decided(database, call, "accept"), correction)
    moved(database, cycle, "registered", "evaluated", "shadow", "canary", "champion")
    with database.connect() as connection:
        [turn] = turns(connection)
    assert turn.stages_s == {
        "curation and training": 60.0,
        "offline evaluation": 60.0,
        "waiting for shadow": 60.0,
        "shadow": 60.0,
        "canary": 60.0,
    }
    assert turn.correction_to_production_s == Spread(n=1, p50=420.0, p95=420.0, max=420.0)
    assert turn.corrections == {"train": 1}
    assert turn.scores == [{"task": "home"}]


def test_a_rejected_candidate_brought_nothing_to_production(database, call, correction):
    cycle = used(database, decided(database, call, "accept"), correction)
    moved(database, cycle, "registered", "rejected")
    with database.connect() as connection:
        [turn] = turns(connection)
    assert turn.correction_to_production_s is None
    assert list(turn.stages_s) == ["curation and training", "offline evaluation"]
    assert told(database, correction)["state"] == "not released"


def test_percentiles_are_seconds_that_were_measured():
    assert Spread.of([]) is None
    assert Spread.of([float(n) for n in range(1, 101)]) == Spread(100, 50.0, 95.0, 100.0)
    assert Spread.of([3.0, 1.0]) == Spread(2, 1.0, 3.0, 3.0)
