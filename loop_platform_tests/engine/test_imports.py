"""Two environments, one package: what each side may never import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import loop_platform

ROOT = Path(loop_platform.__file__).parent
ENGINE = sorted((ROOT / "engine").glob("*.py"))
PLATFORM = sorted(file for file in ROOT.rglob("*.py") if ROOT / "engine" not in file.parents)

# Without these packages an engine environment is still a whole one.
NOT_IN_ENGINE = {"dagster", "alibi_detect", "great_expectations", "polars", "sqlalchemy"}
NOT_IN_PLATFORM = {"vllm", "peft", "trl"}
OF_THE_PLATFORM = {"packaged"}


def imported(file: Path, *, top: bool = False) -> Iterator[str]:
    """Every module that a file names in an import; with `top`, those of its first level alone."""
    tree = ast.parse(file.read_text())
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def packages(modules: Iterator[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("file", ENGINE, ids=lambda file: file.name)
def test_the_engine_imports_nothing_of_the_platform(file: Path):
    modules = set(imported(file))
    ours = {module.split(".")[1] for module in modules if module.startswith("loop_platform.")}

    assert not packages(iter(modules)) & NOT_IN_ENGINE
    assert ours <= {"engine"} | OF_THE_PLATFORM


@pytest.mark.parametrize("file", ENGINE, ids=lambda file: file.name)
def test_an_engine_module_is_quick_to_import(file: Path):
    heavy = {"torch", "transformers", "peft", "vllm", "safetensors"}

    assert not packages(imported(file, top=True)) & heavy


def test_the_platform_imports_no_engine_package():
    offending = {
        str(file.relative_to(ROOT)): found
        for file in PLATFORM
        if (found := packages(imported(file)) & NOT_IN_PLATFORM)
    }

    assert offending == {}
    assert len(PLATFORM) > 50
