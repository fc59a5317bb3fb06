from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from loop_platform.settings import EngineSettings, GateSettings, Settings
from loop_platform_tests.release.stage import Stage, free_ports, weights


@pytest.fixture
def gates() -> GateSettings:
    """Override to play with other gates."""
    return GateSettings(shadow_pairs=10, shadow_budget=40, canary_calls=5)


@pytest.fixture
def start_timeout_s() -> float:
    """Override to wait less for an engine."""
    return 15.0


@pytest.fixture
def drain_s() -> float:
    """Override to have a champion of before finish its answers."""
    return 0.0


@pytest.fixture
def stage_settings(
    tmp_path: Path, database_url: str, gates: GateSettings, start_timeout_s: float, drain_s: float
) -> Settings:
    first, second = free_ports(2)
    return Settings(
        data_dir=tmp_path / "loop",
        database_url=database_url,
        engine=EngineSettings(
            serving="merged",
            ports=(first, second),
            start_timeout_s=start_timeout_s,
            drain_s=drain_s,
        ),
        gates=gates,
    )


@pytest.fixture
def stage(stage_settings: Settings, database: sa.Engine) -> Iterator[Stage]:
    weights(stage_settings.base_model_folder, {"*": "I am the base model"})
    played = Stage(stage_settings, database)
    yield played
    played.close()
