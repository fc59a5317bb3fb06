"""Fill a virtual environment from locked lists: `install.py .venv platform.txt dev.txt`.

Every list is complete and pinned, so nothing is resolved. torch alone may need more: where the
registry's build of it wants CUDA libraries that the list leaves out, they are added.
"""

import re
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).parent
PIP = ["-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
ANY_PYTHON = "redact.txt"
"""Has a package that asks for a newer Python and is nothing but a model's files."""


def main() -> int:
    environment, lists = Path(sys.argv[1]), [HERE / name for name in sys.argv[2:]]
    python = environment.absolute() / "bin" / "python"
    began = time.monotonic()
    if not python.exists():
        show(f"{environment}: making the environment")
        venv.create(environment, with_pip=True)
    pinned = sum(len(requirements(file)) for file in lists)
    options = [option for file in lists for option in ("-r", str(file))]
    if any(file.name == ANY_PYTHON for file in lists):
        options.append("--ignore-requires-python")
    if not pip(python, environment, [*PIP, "--no-deps", *options], pinned):
        return 1
    if not torch_works(python, lists) and not pip(python, environment, [*PIP, "torch==2.13.0"], 0):
        return 1
    if any("setuptools" in file.read_text() for file in lists):
        own = ["--no-deps", "--no-build-isolation", "--editable", str(HERE.parent)]
        if not pip(python, environment, [*PIP, *own], 0):
            return 1
    show(f"{environment}: {pinned} packages ready ({time.monotonic() - began:.0f} s)\n")
    return 0


def requirements(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


def pip(python: Path, environment: Path, arguments: list[str], pinned: int) -> bool:
    """Run pip, counting; its words are shown when it fails."""
    said: list[str] = []
    seen = 0
    with subprocess.Popen(
        [python, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(("Collecting", "Processing", "Requirement already")) and pinned:
                seen += 1
                show(f"{environment}: package {seen} of {pinned}")
            elif line.startswith("Installing") and pinned:
                show(f"{environment}: unpacking {pinned} packages")
    if process.returncode != 0:
        sys.stdout.write(f"\n{''.join(said[-40:])}\n{environment}: pip failed, see above\n")
    return process.returncode == 0


def torch_works(python: Path, lists: list[Path]) -> bool:
    if not any("torch==" in file.read_text() for file in lists):
        return True
    tried = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return tried.returncode == 0


def show(text: str) -> None:
    """On a terminal each line replaces the one before; elsewhere a count in twenty is plenty."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\033[K{text}")
    elif not (count := re.search(r"package (\d+) of", text)) or int(count[1]) % 20 == 0:
        sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
