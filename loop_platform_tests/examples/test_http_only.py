"""The demo knows the loop by HTTP alone."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

from loop_platform_tests.examples.conftest import ENVIRONMENT, PYTHON, ROOT, in_demo_environment

_EXAMPLE = ROOT / "examples" / "home_assistant"
_FORBIDDEN = {"loop_platform", "dagster", "psycopg2", "sqlalchemy", "vllm", "torch"}


def test_no_module_of_the_demo_imports_the_platform_or_its_stores() -> None:
    for path in _modules():
        assert not _imports(path) & _FORBIDDEN, path.name


def test_the_demo_never_speaks_to_dagster() -> None:
    for path in _modules():
        said = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not any("graphql" in text.lower() for text in said), path.name


def test_its_environment_has_no_platform_in_it() -> None:
    done = subprocess.run(
        [PYTHON, "-c", "import loop_platform"],
        env=ENVIRONMENT,
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError" in done.stderr


def test_every_module_of_it_imports_in_its_environment() -> None:
    names = ", ".join(f"home_assistant.{path.stem}" for path in _modules())
    in_demo_environment("-c", f"import {names}")


def _modules() -> list[Path]:
    return sorted(path for path in _EXAMPLE.glob("*.py") if path.stem != "__init__")


def _imports(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imported(ast.parse(path.read_text()))}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
