"""The drills that there are."""

import ast
import pkgutil
from pathlib import Path

from loop_platform import drills


def names() -> dict[str, str]:
    """The drills and what each plants, as the first line of its file says; none is imported."""
    found = sorted(module.name for module in pkgutil.iter_modules(drills.__path__))
    return {name.replace("_", "-"): _first_line(name) for name in found}


def _first_line(name: str) -> str:
    [folder] = drills.__path__
    said = ast.get_docstring(ast.parse((Path(folder) / f"{name}.py").read_text()))
    if not said:
        raise ValueError(f"drill {name} does not say what it plants: give its file a docstring")
    return said.splitlines()[0]
