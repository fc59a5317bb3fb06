"""What has to be there before anything starts."""

from pathlib import Path

import pytest

from loop_platform.settings import (
    ConsoleSettings,
    EngineSettings,
    GatewaySettings,
    ModelSettings,
    RedactionSettings,
    Settings,
)
from loop_platform.stack.errors import StackError
from loop_platform.stack.lock import locked
from loop_platform.stack.ports import check_ports
from loop_platform.stack.preparation import check_data_folder, check_environments, make_base_model
from loop_platform_tests.release.stage import free_ports


def test_a_full_disk_is_said_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"is full: .* GiB free, and the loop needs 1000000\.0"):
        check_data_folder(tmp_path, needed_bytes=10**6 * 2**30)


def test_a_tenant_that_asks_for_redaction_needs_the_redactors_environment(tmp_path: Path) -> None:
    redaction = RedactionSettings(tenants=["acme"], python=tmp_path / "python")
    settings = Settings(data_dir=tmp_path, redaction=redaction)
    check_environments(settings, ["console"])
    with pytest.raises(StackError, match=r"names acme, .*make \.venv-redact"):
        check_environments(settings, ["gateway"])


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_data_folder(tmp_path / "new", needed_bytes=1)
    assert list((tmp_path / "new").iterdir()) == []


def test_an_engine_environment_is_asked_for_only_where_an_engine_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, engine=EngineSettings(python=tmp_path / "none"))
    check_environments(settings, ["gateway"])
    with pytest.raises(StackError, match=r"make \.venv-engine"):
        check_environments(settings, ["gateway", "engine-a"])


def test_a_base_model_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    model = tmp_path / "model"
    settings = Settings(data_dir=tmp_path / "data", models=ModelSettings(base=str(model)))
    (tmp_path / "data" / "models").mkdir(parents=True)
    with pytest.raises(StackError, match=f"the model '{model}' cannot be read: "):
        make_base_model(settings)
    assert not settings.base_model_folder.exists()


def test_two_programs_on_one_port_are_refused(tmp_path: Path) -> None:
    [port] = free_ports(1)
    settings = Settings(
        data_dir=tmp_path, gateway=GatewaySettings(port=port), console=ConsoleSettings(port=port)
    )
    with pytest.raises(StackError, match=f"port {port} is given to the gateway and to the console"):
        check_ports(settings, ["gateway", "console"])


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StackError, match="already runs on"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
