"""The compose files, as far as they can be checked without containers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from loop_platform.settings import Settings
from loop_platform.stack.programs import REPOSITORY, program_names

DEPLOY = REPOSITORY / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    parsed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = parsed["services"]
    return found


def test_the_containers_run_every_program_of_the_stack_once(
    services: dict[str, dict[str, Any]],
) -> None:
    ran = [word for service in services.values() for word in service.get("command", [])]
    ran += [word for word in services["engines"]["entrypoint"][2:] if word != "--only"]
    assert sorted([*ran, "postgres"]) == sorted(program_names(Settings()))


def test_every_service_of_ours_has_the_image_and_the_data(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if name != "postgres":
            assert service["image"] == "loop-platform"
            assert service["volumes"] == ["data:/data"]
            assert set(service["environment"]) == {
                "LOOP_HOST",
                "LOOP_DAGSTER__HOST",
                "LOOP_DATA_DIR",
                "LOOP_DATABASE_URL",
            }


def test_services_wait_for_services_that_are_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert service.get("network_mode", "service:engines") == "service:engines"


def test_only_the_three_public_ports_are_published(services: dict[str, dict[str, Any]]) -> None:
    settings = Settings()
    public = [settings.gateway.port, settings.console.port, settings.dagster.port]
    assert services["engines"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in public]
    assert [name for name, service in services.items() if "ports" in service] == ["engines"]


def test_the_gpu_file_speaks_of_services_that_are_there(
    services: dict[str, dict[str, Any]],
) -> None:
    parsed = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text())
    assert set(parsed["services"]) <= set(services)


def test_the_image_copies_and_runs_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text()
    for list_name in ("platform.txt", "dev.txt", "engine-cpu.txt", "engine-gpu.txt", "install.py"):
        assert (REPOSITORY / "requirements" / list_name).is_file()
    assert "make .venv .venv-engine" in lines
    dry = subprocess.run(
        ["make", "--dry-run", "--always-make", ".venv", ".venv-engine", "ENGINE=gpu"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "engine-gpu.txt" in dry.stdout


def test_a_container_without_a_known_program_says_which_there_are(tmp_path: Path) -> None:
    module = [sys.executable, "-m", "loop_platform.stack.run"]
    done = subprocess.run([*module, "router"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "gateway" in done.stderr
