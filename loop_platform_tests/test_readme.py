"""What the README tells people to type is true."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from loop_platform.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _asset_example() -> str:
    section = README.split("## Add an asset")[1].split("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.S)
    assert found is not None
    return found.group(1)


def test_the_example_asset_works_as_written(tmp_path: Path) -> None:
    """The file is put beside the project's own assets, in a copy, and the graph has it."""
    package = tmp_path / "loop_platform"
    subprocess.run(["cp", "-r", str(ROOT / "loop_platform"), str(package)], check=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (package / "defs" / "telemetry" / "cut_answers.py").write_text(_asset_example())
    program = (
        "import dagster as dg\n"
        "from loop_platform.definitions import defs\n"
        "keys = defs().resolve_asset_graph().get_all_asset_keys()\n"
        "assert dg.AssetKey(['telemetry', 'cut_answers']) in keys, keys\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def test_the_example_asset_is_one_function_of_eight_lines() -> None:
    (function,) = [
        node for node in ast.parse(_asset_example()).body if isinstance(node, ast.FunctionDef)
    ]
    first = function.decorator_list[0].lineno
    assert function.end_lineno is not None
    assert function.end_lineno - first < 8


def test_the_settings_shown_are_settings() -> None:
    shown = re.findall(r"```toml\n(.*?)```", README, re.S)
    assert shown
    for text in shown:
        given = tomllib.loads(text)
        settings = Settings(**given)
        for group, values in given.items():
            assert (
                getattr(settings, group).model_dump(include=set(values), exclude_unset=True)
                == values
            )


def test_every_file_that_the_readme_names_is_there() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_every_make_target_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
