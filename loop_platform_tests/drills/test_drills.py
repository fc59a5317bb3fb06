"""Drills as they are typed, against a stack of a real PostgreSQL, supervisord, controller and
gateway, with small engines. What Dagster's daemon would run, a test runs itself, as soon as its
sensors ask for it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from loop_platform.database import database_url, review_items
from loop_platform.drilling import catalogue
from loop_platform.drilling.stack import is_ready
from loop_platform.release import registry
from loop_platform.release.states import State
from loop_platform.settings import Settings
from loop_platform.stack.configuration import write_configuration
from loop_platform.stack.first_start import prepare_database
from loop_platform.stack.preparation import make_folders
from loop_platform.stack.programs import ENGINES, assignment, environment, programs
from loop_platform.stack.readiness import http_answers, postgres_answers
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor
from loop_platform.stack.tether import tethered
from loop_platform.stack.up import champion_answers
from loop_platform_tests.drills.dagster_at_hand import DagsterAtHand
from loop_platform_tests.evaluation.suites import few_prompts
from loop_platform_tests.release.stage import weights
from loop_platform_tests.stack.free_ports import free_ports
from loop_platform_tests.stack.waiting import wait_for

_FEW = ("postgres", "controller", "gateway", "observer", *ENGINES.values())


class Running:
    """A stack without Dagster."""

    def __init__(self, folder: Path) -> None:
        gateway, first, second = free_ports(3)
        self.variables = {
            "LOOP_DATA_DIR": str(folder),
            "LOOP_GATEWAY__PORT": str(gateway),
            "LOOP_GATEWAY__CAPTURE_LOGPROBS": "false",
            "LOOP_ENGINE__PORTS": json.dumps([first, second]),
            "LOOP_ENGINE__SERVING": "merged",
            "LOOP_ENGINE__DRAIN_S": "0.5",
            "LOOP_ENGINE__START_TIMEOUT_S": "60",
            "LOOP_GATEWAY__SEGMENT_MAX_AGE_S": "0.5",
            "LOOP_SUITES": str(folder / "suites"),
            "LOOP_MONITORING__EMBEDDED_SHARE": "0.02",
            "LOOP_GATES__SHADOW_PAIRS": "320",
            "LOOP_GATES__SHADOW_BUDGET": "320",
            "LOOP_GATES__CANARY_CALLS": "10",
            "LOOP_GATES__CANARY_BUDGET": "100",
            "LOOP_GATES__LATENCY_BUDGET_MS": "3000",
            "LOOP_GATES__PROMOTION": "automatic",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            self.settings = Settings()
        self.supervisor = Supervisor(supervisor_socket(folder))
        self.database = sa.create_engine(database_url(self.settings), poolclass=sa.NullPool)

    def start(self, stack: ExitStack) -> None:
        settings = self.settings
        make_folders(settings)
        few_prompts(settings.data_dir / "suites", retention=8, safety=24)
        weights(settings.base_model_folder, {"*": "Hello."})
        engine = [sys.executable, "-m", "loop_platform_tests.release.tiny_engine", "--assignment"]
        mine = {name: [*engine, str(assignment(settings, slot))] for slot, name in ENGINES.items()}
        few = [
            replace(program, command=mine.get(program.name, program.command))
            for program in programs(settings)
            if program.name in _FEW
        ]
        configuration = write_configuration(settings.data_dir, few)
        daemon = subprocess.Popen(
            tethered([sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]),
            env={**os.environ, **environment(settings), **self.variables},
            start_new_session=True,
        )
        stack.callback(daemon.wait, 60)
        stack.callback(daemon.terminate)
        wait_for(supervisor_socket(settings.data_dir).exists, 30)
        self.supervisor.start("postgres")
        wait_for(lambda: postgres_answers(settings.data_dir), 60)
        prepare_database(settings)
        for name in ("controller", "gateway", "observer"):
            self.supervisor.start(name)
        port = settings.gateway.port
        wait_for(lambda: http_answers(settings.host, port, "/readyz"), 120)
        wait_for(lambda: champion_answers(settings), 120)
        wait_for(self._is_ready, 120)

    def _is_ready(self) -> bool:
        with self.database.connect() as connection:
            champion = registry.champion(connection)
            return champion is not None and is_ready(connection, champion.release)

    def loop(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._typed(*arguments),
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def drill(self, name: str, *options: str) -> dict[str, Any]:
        """What a drill that ended as it should reports; Dagster works meanwhile."""
        with (
            DagsterAtHand(self.settings) as dagster,
            subprocess.Popen(
                self._typed("drill", name, "--pace", "50", "--json", *options),
                env={**os.environ, **self.variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as running,
        ):
            while running.poll() is None:
                dagster.tick()
            out, err = running.communicate()
        assert running.returncode == 0, out + err
        found: dict[str, Any] = json.loads(out)
        assert found["passed"]
        assert found["exposure"]["errors"] == 0 or name == "engine-dies"
        return found

    def _typed(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "loop_platform.cli", *arguments]

    def last(self) -> registry.Release:
        with self.database.connect() as connection:
            return registry.all_releases(connection)[-1]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-drill-")))
        up = Running(folder)
        up.start(stack)
        yield up


def said(found: dict[str, Any], should: str) -> str:
    return next(str(each["found"]) for each in found["findings"] if each["should"] == should)


def test_a_changed_file_is_refused_and_nobody_notices(running: Running) -> None:
    found = running.drill("changed-files")

    refusal = said(found, "the promotion is refused")
    assert "weights/model.safetensors was" in refusal or "adapter/model.safetensors was" in refusal
    copy = running.last()
    assert (copy.state, copy.record["drill"]) == (State.REJECTED, "changed-files")
    assert not list((running.settings.data_dir / "drills").iterdir()), "its files are left"


def test_an_engine_that_dies_leaves_one_champion(running: Running) -> None:
    found = running.drill("engine-dies")

    made = said(found, "the promotion is made or refused") == "made"
    assert running.last().state is (State.ROLLED_BACK if made else State.REJECTED)


def test_a_database_that_goes_away_in_the_flip_loses_nothing(running: Running) -> None:
    found = running.drill("database-fails-over")

    assert said(found, "and made once") == "1 lines in the audit log"
    assert said(found, "no call fails").endswith("none failed")
    assert running.last().state is State.ROLLED_BACK


def test_a_controller_that_is_killed_in_mid_promotion_makes_each_move_once(
    running: Running,
) -> None:
    found = running.drill("controller-dies", "--minutes", "0.05")

    kills = int(said(found, "every move is made after all").split()[0])
    assert kills >= 2
    assert said(found, "and made once") == f"{kills} lines in the audit log"
    assert running.last().state is State.ROLLED_BACK


def test_a_candidate_that_fails_is_gone_before_anyone_meets_it(running: Running) -> None:
    found = running.drill("failing-candidate")

    assert "of" in said(found, "a guardrail ends its shadow")
    assert said(found, "nobody met it") == "registered → evaluated → shadow → rejected"
    gone = running.last()
    assert gone.drill
    assert not list((running.settings.data_dir / "drills").iterdir()), "its files are left"


def test_an_excellent_candidate_that_users_dislike_ends_in_its_canary(running: Running) -> None:
    found = running.drill("judged-well-and-bad")

    assert said(found, "its shadow speaks for it").startswith("dagster: every front is won or held")
    assert found["ended"]["by"] in ("guardrail", "lost: satisfaction")
    assert (found["ended"]["stage"], found["ended"]["state"]) == ("canary", "rejected")
    exposure = found["exposure"]
    assert 0 < exposure["canary_calls"] < 0.2 * exposure["of_canary"]
    with running.database.connect() as connection:
        queued = connection.scalar(sa.select(sa.func.count()).select_from(review_items))
    assert queued == 0, "a drill's complaints wait for a person"


def test_a_candidate_that_declines_ends_in_its_canary(running: Running) -> None:
    found = running.drill("declines")

    assert found["ended"]["by"] in ("guardrail", "lost: safety")
    assert (found["ended"]["stage"], found["ended"]["state"]) == ("canary", "rejected")


def test_a_slow_candidate_is_gone_within_a_second(running: Running) -> None:
    found = running.drill("slower")

    assert found["ended"]["by"] == "guardrail"
    assert "longer than the budget of 3000 ms" in found["ended"]["reason"]


def test_a_jailbroken_candidate_meets_no_traffic(running: Running) -> None:
    found = running.drill("jailbroken")

    assert found["ended"]["by"] == "gate: safety_is_kept"
    assert found["exposure"]["calls"] == 0


def test_a_costly_candidate_loses_its_shadow(running: Running) -> None:
    found = running.drill("costs-more")

    assert found["ended"]["by"] == "lost: cost"
    assert int(found["ended"]["evidence"].removesuffix(" pairs")) >= 320


def test_a_candidate_that_fails_now_and_then_is_not_known_to_be_good_enough(
    running: Running,
) -> None:
    found = running.drill("fails-now-and-then")

    assert found["ended"]["by"] == "not known"
    assert "reliability" in found["ended"]["reason"]


def test_a_drill_ends_a_trial_that_takes_too_long(running: Running) -> None:
    found = running.drill("regresses-by-3", "--minutes", "0.05")

    assert found["ended"]["by"] == "not known"
    assert "in the 0.05 minutes of the drill" in found["ended"]["reason"]
    assert not list((running.settings.data_dir / "cycles").iterdir()), "its lessons are left"


def test_a_release_on_trial_is_not_disturbed(running: Running) -> None:
    with running.database.begin() as connection:
        folder = weights(running.settings.data_dir / "weights" / "other", {"*": "Hi."})
        name = registry.register(
            connection,
            cycle=None,
            parent=None,
            adapter="ab" * 32,
            adapter_path=folder,
            weights_path=folder,
            drill=False,
            record={},
        )

    done = running.loop("drill", "changed-files")

    assert done.returncode == 1
    assert f"release {name} is registered: a drill would take its engine" in done.stderr


def test_without_a_name_the_drills_are_listed_and_a_wrong_one_is_refused() -> None:
    command = [sys.executable, "-m", "loop_platform.cli", "drill"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wrong = subprocess.run([*command, "earthquake"], capture_output=True, text=True, check=False)

    assert {"changed-files", "engine-dies"} <= set(catalogue.names())
    assert all(name in listed and what in listed for name, what in catalogue.names().items())
    assert wrong.returncode == 2
    assert "no drill 'earthquake'" in wrong.stderr
    assert "engine-dies" in wrong.stderr
