"""Steps and what came of them: a folder each, named by what went in.

A step that was made is not made again; one that broke left nothing, and is made anew. What goes in
is named by its content: a folder of another step by its own name, a file by its hash.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOLD = "took.json"


@dataclass
class Took:
    """What the programs of a step took."""

    seconds: float = 0.0
    peak_gb: float = 0.0


class Shelf:
    def __init__(self, folder: Path, engine: Path, demo: Path) -> None:
        self._folder = folder
        self._pythons = {"engine": engine, "demo": demo}
        self._took = Took()
        self._told: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def step(
        self, name: str, about: str, inputs: Mapping[str, Any], make: Callable[[Path], None]
    ) -> Path:
        """The folder that `make` filled, now or in an earlier run. `about`: how long it takes."""
        key = json.dumps({each: self._named(given) for each, given in inputs.items()})
        place = self._folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        if place.exists():
            if place not in self._told:
                say(f"{name}: there already")
            self._told.add(place)
            return place
        say(f"{name}: {about} on two cores")
        scratch = self._folder / f".unfinished-{place.name}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        self._took = Took()
        began = time.monotonic()
        make(scratch)
        (scratch / TOLD).write_text(json.dumps(self._took.__dict__))
        scratch.rename(place)
        self._told.add(place)
        say(f"{name}: done in {time.monotonic() - began:.0f} s")
        return place

    def run(self, python: str, module: str, *arguments: object) -> str:
        """Run one of our programs to its end; what it said.

        Raises:
            SystemExit: it failed.
        """
        command = [str(self._pythons[python]), "-m", module, *map(str, arguments)]
        paths = (ROOT, ROOT / "benchmarks", ROOT / "examples")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TOKENIZERS_PARALLELISM": "false",
        }
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            said = []
            for line in program.stdout:
                said.append(line)
                print(f"  {line.rstrip()}", file=sys.stderr, flush=True)
            _, status, used = os.wait4(program.pid, 0)
            program.returncode = os.waitstatus_to_exitcode(status)
        if program.returncode != 0:
            raise SystemExit(f"{module} ended with {program.returncode}, see above")
        self._took.seconds += time.monotonic() - began
        self._took.peak_gb = max(self._took.peak_gb, used.ru_maxrss * 1024 / 1e9)
        return "".join(said)

    def _named(self, given: Any) -> Any:  # noqa: ANN401 - anything that JSON has, and paths
        if not isinstance(given, Path):
            return given
        if given.is_relative_to(self._folder):
            return str(given.relative_to(self._folder))
        files = sorted(given.rglob("*")) if given.is_dir() else [given]
        return contents([file for file in files if file.is_file()])


def contents(files: Sequence[Path]) -> str:
    """One hash of them all."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
