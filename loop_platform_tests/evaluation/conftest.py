from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.lake import Lake
from loop_platform.settings import EngineSettings, FrontSettings, GateSettings, Settings
from loop_platform_tests.evaluation.suites import few_prompts
from loop_platform_tests.evaluation.traffic import RELIABLE, Traffic
from loop_platform_tests.release.stage import Stage, free_ports, weights


@pytest.fixture
def gates() -> GateSettings:
    return GateSettings(
        shadow_pairs=20,
        shadow_budget=60,
        canary_calls=10,
        canary_budget=160,
        fronts=FrontSettings(everywhere=RELIABLE),
        promotion="automatic",
    )


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    return few_prompts(tmp_path / "suites", retention=28, safety=12)


@pytest.fixture
def loop_settings(tmp_path: Path, database_url: str, gates: GateSettings, suites: Path) -> Settings:
    first, second = free_ports(2)
    return Settings(
        data_dir=tmp_path / "loop",
        database_url=database_url,
        engine=EngineSettings(serving="merged", ports=(first, second)),
        validators={"commands": "loop_platform_tests.evaluation.validator:is_intent"},
        gates=gates,
        suites=suites,
    )


@pytest.fixture
def stage(loop_settings: Settings, database: sa.Engine) -> Iterator[Stage]:
    weights(loop_settings.base_model_folder, {"*": "Let me think about {prompt}"})
    played = Stage(loop_settings, database)
    yield played
    played.close()


@pytest.fixture
def traffic(stage: Stage) -> Traffic:
    return Traffic(stage.database, Lake(stage.settings.lake))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made
