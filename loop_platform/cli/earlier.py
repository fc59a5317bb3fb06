"""A demo begins with a loop that has not turned yet: what an earlier demo left is set aside."""

import shutil
from pathlib import Path

from loop_platform.stack.errors import StackError

_MARK = "demo/began"
_STATE = ("postgres", "lake", "journal")
_KEPT = ("models", "demo", "earlier", "loop.lock")
"""What a demo uses again, or leaves in its place."""


def begin(data_dir: Path) -> Path | None:
    """Marks the folder as the demo's, and moves an earlier demo's loop to `earlier`, which it
    returns.

    Raises:
        StackError: the folder holds a loop that is not a demo's.
    """
    mark, earlier = data_dir / _MARK, data_dir / "earlier"
    moved = None
    if any((data_dir / name).exists() for name in _STATE):
        if not mark.exists():
            raise StackError(
                f"{data_dir} holds a loop that is not the demo's: set LOOP_DATA_DIR to another"
                " folder for the demo"
            )
        moved = _move(data_dir, earlier)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return moved


def _move(data_dir: Path, earlier: Path) -> Path:
    shutil.rmtree(earlier, ignore_errors=True)
    earlier.mkdir()
    for path in data_dir.iterdir():
        if path.name not in _KEPT:
            path.rename(earlier / path.name)
    return earlier
