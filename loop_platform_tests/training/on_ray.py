"""Training as jobs of a real Ray cluster of two workers: `make test-cluster`.

Not part of `make test`: Ray is another 300 MB.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from loop_platform.defs.training.launchers import Program, launcher
from loop_platform.settings import EngineSettings, Settings, TrainingSettings
from loop_platform_tests.engine.programs import PYTHON, ROOT, job
from loop_platform_tests.release.stage import free_ports

RAY = ROOT / ".venv-ray" / "bin" / "python"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard of a cluster."""
    (port,) = free_ports(1)
    log = tmp_path_factory.mktemp("ray") / "log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [str(RAY), "-m", "loop_platform_tests.training.ray_cluster", str(port)],
            cwd=ROOT,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as cluster,
    ):
        assert cluster.stdout is not None
        assert cluster.stdin is not None
        assert "ready" in cluster.stdout.readline(), log.read_text()[-2000:]
        found = f"http://127.0.0.1:{port}"
        until(lambda: answers(found))
        yield found
        cluster.stdin.close()


@pytest.fixture
def on_ray(address: str, tmp_path: Path) -> Settings:
    launch = {
        "address": address,
        "resources": {"trainer": 1},
        "poll_s": 0.5,
        "patience_s": 20.0,
        "environment": {"OMP_NUM_THREADS": "1"},
    }
    return Settings(
        data_dir=tmp_path / "loop",
        engine=EngineSettings(python=PYTHON),
        training=TrainingSettings(launcher="ray", launch=launch),
    )


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/jobs/").status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.5)


def trained(given: Settings, folder: Path, base: Path, **recipe: Any) -> dict[str, Any]:
    """The record of a training, launched as the asset launches it."""
    program = Program("loop_platform.engine.train", {"job": job(folder, base, **recipe)})

    @dg.asset
    def adapter(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return launcher(given).launch(context, given, program)

    result = dg.materialize([adapter], instance=dg.DagsterInstance.ephemeral())
    [made] = result.asset_materializations_for_node("adapter")
    record: Any = made.metadata["record"].value
    return dict(record)


def test_two_workers_train_at_once_what_this_machine_trains(
    on_ray: Settings, address: str, tiny: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as both:
        runs = [
            both.submit(trained, on_ray, tmp_path / name, tiny, max_steps=5) for name in ("a", "b")
        ]
        there = [run.result() for run in runs]
    local = on_ray.model_copy(update={"training": TrainingSettings()})
    here = trained(local, tmp_path / "here", tiny, max_steps=5)

    assert [record["adapter"] for record in there] == [here["adapter"]] * 2
    assert (tmp_path / "a" / "adapters" / here["adapter"] / "training.json").is_file()
    jobs = httpx.get(f"{address}/api/jobs/").json()
    assert len({each["driver_node_id"] for each in jobs}) == 2
    assert {each["status"] for each in jobs} == {"SUCCEEDED"}
    assert not any((on_ray.data_dir / "launches").iterdir())


def test_a_cancelled_run_stops_its_job_and_leaves_nothing(
    on_ray: Settings, address: str, tiny: Path, tmp_path: Path
) -> None:
    def cancel() -> None:
        until(lambda: running(address))
        until(lambda: [*(tmp_path / "loop" / "launches").glob("*/messages")])
        os.kill(os.getpid(), signal.SIGINT)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises((DagsterExecutionInterruptedError, KeyboardInterrupt)):
        trained(on_ray, tmp_path / "job", tiny, max_steps=10_000_000, epochs=1e9)
    canceller.join()
    assert not running(address)
    assert not [*(tmp_path / "job").glob("adapters/*")]


def test_a_run_that_is_killed_lets_its_job_end(
    on_ray: Settings, address: str, tiny: Path, tmp_path: Path
) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from loop_platform.settings import Settings\n"
        "from loop_platform_tests.training.on_ray import trained\n"
        "given = Settings.model_validate_json(sys.argv[1])\n"
        "trained(given, Path(sys.argv[2]), Path(sys.argv[3]), max_steps=10_000_000, epochs=1e9)\n"
    )
    arguments = [on_ray.model_dump_json(), str(tmp_path / "job"), str(tiny)]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT) as run:
        until(lambda: running(address))
        run.kill()
    until(lambda: not running(address))
    [last] = [each for each in jobs_of(address) if each["status"] == "FAILED"]
    log = httpx.get(f"{address}/api/jobs/{last['submission_id']}/logs").json()["logs"]
    assert "whoever started this is gone" in log, json.dumps(last)


def jobs_of(address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{address}/api/jobs/").json()
    return found


def running(address: str) -> list[dict[str, Any]]:
    return [each for each in jobs_of(address) if each["status"] in ("PENDING", "RUNNING")]
