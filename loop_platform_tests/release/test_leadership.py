"""One leader, and what happens when it is killed or loses the database."""

import subprocess
import sys
import time

import sqlalchemy as sa

from loop_platform.database import releases
from loop_platform.release import leases, registry, requests, routes, trials
from loop_platform.release.controller import Controller
from loop_platform.release.leader import Leadership, LeadershipLostError
from loop_platform.release.states import State
from loop_platform.settings import Settings
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.release.test_controller import ask_for, base_of, conclude, ready, to_canary


def terminate_controllers(database: sa.Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'loop release controller'"
                " AND datname = current_database()"
            )
        )


def wait_until(holds, timeout_s: float = 10.0) -> float:
    """Seconds until it held."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() < started + timeout_s, "it never came"
        time.sleep(0.02)
    return time.monotonic() - started


def test_there_is_one_leader(settings: Settings):
    first, second = Leadership(settings), Leadership(settings)

    assert first.acquire()
    assert not second.acquire()
    first.resign()
    assert second.acquire()
    second.resign()


def test_a_leader_that_lost_its_connection_writes_nothing_any_more(
    settings: Settings, database: sa.Engine
):
    leadership = Leadership(settings)
    assert leadership.acquire()

    terminate_controllers(database)

    lost = False
    try:
        with leadership.transaction() as connection:
            connection.execute(sa.delete(releases))
    except LeadershipLostError:
        lost = True
    assert lost
    assert not leadership.held


def test_no_database_is_no_leader_and_no_crash(settings: Settings):
    nowhere = settings.model_copy(
        update={"database_url": "postgresql+psycopg2://postgres@/nowhere?host=/nonexistent"}
    )

    assert not Leadership(nowhere).acquire()


def test_a_controller_takes_the_lead_again_after_the_database_went_away(stage: Stage):
    base = base_of(stage)
    name = stage.register("8888888888888888")
    to_canary(stage, name)

    terminate_controllers(stage.database)
    assert not stage.controller.lead()
    stage.until(lambda connection: routes.read(connection).canary == name)

    assert stage.ask(routes.read).champion == base
    assert stage.ask(leases.left) > 0


def test_when_the_leader_is_killed_the_lease_lapses_and_the_next_goes_on_from_the_tables(
    stage: Stage,
):
    base = base_of(stage)
    name = stage.register("9999999999999999")
    to_canary(stage, name)
    contender = [sys.executable, "-m", "loop_platform_tests.release.contender"]
    stage.controller.close()  # the engines go on
    with subprocess.Popen([*contender, stage.settings.model_dump_json()]) as process:
        wait_until(lambda: stage.ask(leases.left) > 0, 20.0)
        assert not stage.controller.lead(), "two led at once"
        process.kill()
        lapsed_in = wait_until(lambda: stage.ask(leases.left) == 0)

    assert lapsed_in < 1.2
    assert stage.ask(routes.read).champion == base, "the champion needs no lease"
    stage.until(lambda connection: leases.left(connection) > 0)
    assert stage.ask(routes.read).canary == name
    conclude(stage, name, State.CANARY)
    assert ask_for(stage, name, State.CHAMPION).done


def test_a_request_made_while_nobody_leads_is_handled_by_the_next_leader(stage: Stage):
    base_of(stage)
    name = stage.register("abababababababab")
    stage.until(ready(name))
    stage.controller.close()
    request = stage.ask(
        lambda connection: requests.request_move(
            connection, name, State.REJECTED, actor="a test", reason="no", evidence={}
        )
    )
    successor = Controller(stage.settings, stage.engines, probe_s=0.1)

    deadline = time.monotonic() + 5
    while not stage.ask(lambda connection: requests.outcome(connection, request)).handled:
        assert time.monotonic() < deadline
        successor.lead()
    successor.close()

    assert stage.release(name).state is State.REJECTED


def test_a_successor_does_not_restart_engines_that_run(stage: Stage):
    base = base_of(stage)
    started = len(stage.engines.starts)
    stage.succeed()

    stage.until(ready(base))
    stage.step(3)

    assert len(stage.engines.starts) == started


def test_a_trial_of_before_keeps_its_plan(stage: Stage):
    base_of(stage)
    name = stage.register("cdcdcdcdcdcdcdcd")
    to_canary(stage, name)
    planned = stage.ask(lambda connection: trials.find(connection, name, State.CANARY))

    stage.succeed()
    stage.step(2)

    assert stage.ask(lambda connection: trials.find(connection, name, State.CANARY)) == planned
    assert stage.ask(registry.champion) is not None
