from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from loop_platform.database import (
    drift_verdicts,
    move_requests,
    moves,
    releases,
    route_counters,
    routes,
)
from loop_platform.defs.curation import due
from loop_platform.engine.card import card
from loop_platform.release.registry import register
from loop_platform_tests.curation.accepting import accepted, crowd
from loop_platform_tests.engine.test_card import RECORD

SCORES = [
    {
        "task": "home",
        "metric": "exact",
        "champion": {"rate": 0.1, "n": 20, "low": 0.03, "high": 0.3},
        "candidate": {"rate": 0.8, "n": 20, "low": 0.58, "high": 0.92},
        "verdict": "won",
    }
]


@pytest.fixture
def release(database, tmp_path):
    with database.begin() as connection:
        cycle = due.open_improvement(connection, "for the test")
        return register(
            connection,
            cycle=cycle,
            parent=None,
            adapter="0123456789abcdef",
            adapter_path=tmp_path,
            weights_path=tmp_path,
            drill=False,
            record={"seconds": 12.5, "scores": SCORES},
        )


def test_the_status_counts_what_waits(database, visitor, settings):
    accepted(database, *crowd(3))
    status = visitor().get("/api/status").json()
    assert status["corrections"]["waiting"] == 3
    assert status["corrections"]["needed"] == settings.curation.min_corrections
    assert (status["queue"]["open"], status["queue"]["decided"]) == (0, 3)
    assert status["routes"] is None


def test_the_status_shows_traffic_and_routes(database, visitor, release):
    with database.begin() as connection:
        connection.execute(
            sa.insert(routes).values(
                only=True,
                version=3,
                champion=release,
                shadow=release,
                lease_until=datetime.now(UTC) + timedelta(minutes=1),
            )
        )
        connection.execute(
            sa.insert(route_counters).values(
                release=release,
                route="champion",
                minute=datetime.now(UTC),
                calls=10,
                errors=1,
                latency_ms=500.0,
                over_budget=0,
            )
        )
    ada = visitor()
    status = ada.get("/api/status").json()
    assert (status["routes"]["champion"], status["routes"]["leased"]) == (release, True)
    assert status["traffic"][0]["calls"] == 10
    assert release in ada.get("/").text
    assert release in ada.get("/fragments/overview").text


def test_drift_is_told(database, visitor):
    with database.begin() as connection:
        values = {"task": "home", "last_call_id": "x", "hour": "h", "release": "r", "calls": 200}
        connection.execute(
            sa.insert(drift_verdicts).values(**values, drifted=True, p_value=0.001, effect=0.3)
        )
    ada = visitor()
    assert ada.get("/api/drift?task=home").json()["drift"][0]["drifted"] is True
    assert ada.get("/api/drift?task=other").json() == {"drift": []}
    assert "drifted" in ada.get("/").text


def test_a_release_is_shown_with_its_moves(visitor, release):
    ada = visitor()
    [listed] = ada.get("/api/releases").json()["releases"]
    assert (listed["release"], listed["state"]) == (release, "registered")
    whole = ada.get(f"/api/releases/{release}").json()
    assert [move["to_state"] for move in whole["moves"]] == ["registered"]
    assert release in ada.get("/releases").text
    assert "registered by cycle 0001" in ada.get(f"/releases/{release}").text
    assert ada.get("/releases/none").status_code == 404
    assert ada.get("/api/releases/none").status_code == 404


def test_a_release_is_shown_with_what_became_of_each_failure_mode(database, visitor, release):
    rate = {"rate": 0.5, "n": 10, "low": 0.24, "high": 0.76}
    nothing = {"rate": None, "n": 0, "low": 0.0, "high": 1.0}
    seen = {"mode": "home: kitchen, light", "trained_on": 30, "verdict": "mended"}
    unseen = {"mode": "home: song", "trained_on": 3, "verdict": "not known"}
    modes = {
        "mended": ["home: kitchen, light"],
        "worse": [],
        "not known": 1,
        "each": [
            seen | {"champion": rate, "candidate": rate},
            unseen | {"champion": nothing, "candidate": nothing},
        ],
    }
    move = {"release": release, "from_state": "registered", "to_state": "evaluated"}
    with database.begin() as connection:
        values = move | {"actor": "test", "reason": "…", "evidence": {"modes": modes}}
        connection.execute(sa.insert(moves).values(values))
    page = visitor().get(f"/releases/{release}").text
    assert "1 mended, 0 worse, 1 not known" in page
    assert "home: kitchen, light" in page
    assert page.count("no held-out row") == 1


def test_the_card_of_a_release_is_served_once_something_was_trained(database, visitor, release):
    ada = visitor()
    assert ada.get(f"/api/releases/{release}/card").status_code == 404
    with database.begin() as connection:
        connection.execute(sa.update(releases).values(record=RECORD))
    answer = ada.get(f"/api/releases/{release}/card")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.text == card(RECORD)
    assert f"/api/releases/{release}/card" in ada.get(f"/releases/{release}").text
    assert ada.get("/api/releases/none/card").status_code == 404


def test_only_admins_ask_for_moves(database, visitor, release):
    assert visitor().post(f"/api/releases/{release}/reject", json={}).status_code == 403
    admin = visitor("admin", "root")
    assert admin.post("/api/releases/none/reject", json={}).status_code == 404
    # No controller is running: the request waits for one, and the answer says so.
    answer = admin.post(f"/api/releases/{release}/reject", json={"reason": "not needed"})
    assert answer.status_code == 202
    with database.connect() as connection:
        [asked] = connection.execute(sa.select(move_requests)).all()
    assert (asked.to_state, asked.actor, asked.reason) == ("rejected", "root", "not needed")


def test_cycles_are_told_with_their_corrections(visitor, release):
    ada = visitor()
    [cycle] = ada.get("/api/cycles").json()["cycles"]
    assert (cycle["cycle"], cycle["kind"], cycle["release"]) == ("0001", "improvement", release)
    assert list(cycle["stages_s"]) == ["curation and training", "offline evaluation"]
    assert cycle["correction_to_production_s"] is None
    assert "0001" in ada.get("/cycles").text


def test_a_database_that_is_away_is_said_to_be(visitor, database, console):
    ada = visitor()
    assert ada.get("/api/status").status_code == 200
    name = sa.make_url(str(database.url)).database
    admin = sa.create_engine(database.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(sa.text(stop), {"name": name})
        away = ada.get("/api/status")
        connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()
    assert (away.status_code, away.headers["retry-after"]) == (503, "2")
    assert ada.get("/api/status").status_code == 200
