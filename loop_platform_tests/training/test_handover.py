"""While one GPU both serves and trains: engines sleep, their callers wait, and they wake whatever
becomes of the training."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster._core.errors import DagsterPipesExecutionError

from loop_platform.settings import EngineSettings, Settings, TrainingSettings
from loop_platform_tests.release.stage import free_ports
from loop_platform_tests.training.sleeper import Sleeper, serving
from loop_platform_tests.training.test_launchers import ROOT, launched

SLEEP = "/sleep?level=1&mode=wait"
CALL = "/v1/chat/completions"


def given(folder: Path, port: int) -> Settings:
    """One of the two engines is not up."""
    (nobody,) = free_ports(1)
    engine = EngineSettings(
        python=Path(sys.executable), ports=(port, nobody), while_training="sleep"
    )
    training = TrainingSettings(max_minutes=5)
    return Settings(data_dir=folder / "loop", engine=engine, training=training)


def test_callers_wait_while_a_cycle_trains_and_are_answered(tmp_path: Path) -> None:
    engine = Sleeper(refusals=1)
    with serving(engine) as port, ThreadPoolExecutor(3) as callers:
        training = callers.submit(launched, given(tmp_path, port), folder=str(tmp_path), seconds=1)
        while SLEEP not in engine.happened:
            assert not training.done(), training.result()
            time.sleep(0.02)
        calls = [
            callers.submit(httpx.post, f"http://127.0.0.1:{port}{CALL}", json={}, timeout=60)
            for _ in range(2)
        ]
        assert training.result().success
        assert [call.result().status_code for call in calls] == [200, 200]
    assert engine.happened[0] == SLEEP
    assert engine.happened[-2:] == ["/wake_up", "/wake_up"]


def test_they_wake_when_training_fails_and_when_its_run_is_killed(tmp_path: Path) -> None:
    engine = Sleeper()
    with serving(engine) as port:
        with pytest.raises(DagsterPipesExecutionError):
            launched(given(tmp_path, port), folder=str(tmp_path), fails=True)
        assert engine.awake.is_set()
        script = (
            "import sys\n"
            "from loop_platform.settings import Settings\n"
            "from loop_platform_tests.training.test_launchers import launched\n"
            "given = Settings.model_validate_json(sys.argv[1])\n"
            "launched(given, folder=sys.argv[2], seconds=300)\n"
        )
        (tmp_path / "killed").mkdir()
        arguments = [given(tmp_path, port).model_dump_json(), str(tmp_path / "killed")]
        with subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT) as run:
            while not (tmp_path / "killed" / "began").exists():
                assert run.poll() is None
                time.sleep(0.02)
            assert not engine.awake.is_set()
            run.kill()
        assert engine.awake.wait(60)


def test_an_engine_that_cannot_sleep_fails_the_run_before_it_trains(tmp_path: Path) -> None:
    with (
        serving(Sleeper(sleeps=False)) as port,
        pytest.raises(dg.Failure, match="answered 404 to /sleep"),
    ):
        launched(given(tmp_path, port), folder=str(tmp_path))
    assert not (tmp_path / "began").exists()


def test_nobody_is_left_to_wait_longer_than_the_gateway_does() -> None:
    sleep = EngineSettings(while_training="sleep")
    with pytest.raises(ValueError, match=r"training\.max_minutes .* is 5 minutes now; it is None"):
        Settings(engine=sleep)
    brief = TrainingSettings(max_minutes=5)
    assert Settings(engine=sleep, training=brief).engine.while_training == "sleep"
    with pytest.raises(ValueError, match=r"has to be 127\.0\.0\.1, not '0\.0\.0\.0'"):
        Settings(engine=sleep.model_copy(update={"host": "0.0.0.0"}), training=brief)
