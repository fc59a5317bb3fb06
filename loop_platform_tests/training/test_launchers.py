"""What a launcher owes: record and log come back, a failure says why, a cancelled run ends it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterPipesExecutionError

from loop_platform.defs.training.launchers import NoLauncherError, Program, launcher
from loop_platform.settings import EngineSettings, Settings, TrainingSettings
from loop_platform_tests.training.jobs_api import Cluster, serving

ROOT = Path(__file__).parents[2]
PATIENCE_S = 1.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, str]]:
    found = Cluster(tmp_path)
    with serving(found) as address:
        yield found, address


@pytest.fixture(params=["local", "ray"])
def given(request: pytest.FixtureRequest, tmp_path: Path, cluster: tuple[Cluster, str]) -> Settings:
    """Settings with each launcher in turn."""
    launch = {
        "local": {},
        "ray": {"address": cluster[1], "poll_s": 0.1, "patience_s": PATIENCE_S, "gpus": 1},
    }
    return Settings(
        data_dir=tmp_path / "loop",
        engine=EngineSettings(python=Path(sys.executable)),
        training=TrainingSettings(launcher=request.param, launch=launch[request.param]),
    )


def launched(given: Settings, **extras: Any) -> dg.ExecuteInProcessResult:
    """One run of an asset that launches the program."""
    program = Program("loop_platform_tests.training.launched", {"seconds": 0.0, **extras})

    @dg.asset
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return launcher(given).launch(context, given, program)

    return dg.materialize([made])


def test_record_and_log_come_back_and_a_job_lives_as_long_as_its_run(
    given: Settings,
    cluster: tuple[Cluster, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = launched(given, folder=str(tmp_path), seconds=2 * PATIENCE_S)
    [made] = result.asset_materializations_for_node("made")
    assert made.metadata["record"].value == {"steps": 3}
    assert (made.tags or {})["dagster/data_version"] == "v7"
    assert "half way" in capfd.readouterr().err
    for asked in cluster[0].asked:
        assert (asked["entrypoint_num_cpus"], asked["entrypoint_num_gpus"]) == (1, 1)
    launches = given.data_dir / "launches"
    assert not launches.is_dir() or not any(launches.iterdir())


def test_a_failure_says_why(
    given: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DagsterPipesExecutionError) as failed:
        launched(given, folder=str(tmp_path), fails=True)
    # A child's words are in the run's own output; a job's in the error.
    assert "there is no such base model" in str(failed.value) + capfd.readouterr().out


def test_a_cancelled_run_ends_what_it_launched(given: Settings, tmp_path: Path) -> None:
    def cancel() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises((DagsterExecutionInterruptedError, KeyboardInterrupt)):
        launched(given, folder=str(tmp_path), seconds=300)
    canceller.join()
    assert (tmp_path / "stopped").read_text() in ("SIGINT", "SIGTERM")


def test_a_program_whose_lease_nobody_renews_ends_itself(tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    lease.touch()
    script = (
        "import signal, sys, time\n"
        "from loop_platform.engine import lease\n"
        f"lease.hold({{'lease': {{'file': {str(lease)!r}, 'patience_s': {PATIENCE_S}}}}})\n"
        "print('holds', flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "holds\n"
        assert program.wait(timeout=60) == -signal.SIGTERM
        assert f"nobody renewed {lease}" in program.stdout.read()


def test_a_launcher_that_is_not_there_or_lacks_a_setting_is_named() -> None:
    for training, why in (
        ({"launcher": "slurm"}, "there are: kubernetes, local, ray"),
        ({"launcher": "ray"}, "training.launch.address: Field required"),
        ({"launch": {"gpus": 1}}, "training.launch.gpus: Extra inputs are not permitted"),
    ):
        with pytest.raises(NoLauncherError, match=why):
            launcher(Settings(training=TrainingSettings(**training)))


def test_a_cluster_that_does_not_answer_fails_the_run(tmp_path: Path) -> None:
    given = Settings(
        data_dir=tmp_path / "loop",
        training=TrainingSettings(launcher="ray", launch={"address": "http://127.0.0.1:9"}),
    )
    with pytest.raises(DagsterPipesExecutionError, match="does not answer"):
        launched(given, folder=str(tmp_path))
