"""A tiny model, made once."""

from pathlib import Path

import pytest

from loop_platform_tests.engine.programs import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")
