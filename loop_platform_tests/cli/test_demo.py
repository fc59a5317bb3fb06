"""What `loop demo` does around its driver: earlier state set aside, children that end with it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from loop_platform.cli.children import child
from loop_platform.cli.earlier import begin
from loop_platform.stack.errors import StackError


def test_a_first_demo_finds_nothing_to_set_aside(tmp_path: Path) -> None:
    assert begin(tmp_path / "loop") is None


def test_a_second_demo_sets_the_first_ones_loop_aside_and_keeps_its_model(tmp_path: Path) -> None:
    begin(tmp_path)
    for name in ("postgres", "lake", "models"):
        (tmp_path / name).mkdir()
    assert begin(tmp_path) == tmp_path / "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "earlier", "models"]
    assert (tmp_path / "earlier" / "lake").is_dir()


def test_a_loop_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with pytest.raises(StackError, match="LOOP_DATA_DIR"):
        begin(tmp_path)
    assert (tmp_path / "lake").is_dir()


def test_a_child_ends_with_its_block_and_leaves_its_output_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    code = "import time; print('here', flush=True); time.sleep(60)"
    with child([sys.executable, "-c", code], log=log) as process:
        while not log.read_text():
            time.sleep(0.05)
    assert process.poll() is not None
    assert log.read_text() == "here\n"


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    inner = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    outer = (
        "import sys; from pathlib import Path; from loop_platform.cli.children import child\n"
        f"with child([sys.executable, '-c', {inner!r}], log=Path({str(log)!r})) as p: p.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", outer]) as parent:
        while not (log.exists() and log.read_text()):
            time.sleep(0.05)
        parent.kill()
    pid = int(log.read_text())
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
