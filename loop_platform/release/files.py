"""The files of a release, by their hashes.

All files of the adapter's folder and of the weights' folder count, since tokenizer, chat template
and configuration shape an answer as the weights do.
"""

import hashlib
from pathlib import Path


def hashes(adapter: Path | None, weights: Path) -> dict[str, str]:
    """Of every file directly in the two folders; empty where neither is there.

    Raises:
        OSError: a file cannot be read.
    """
    return {name: _sha256(file) for name, file in files_of(adapter, weights).items()}


def files_of(adapter: Path | None, weights: Path) -> dict[str, Path]:
    """The files directly in the two folders, as `weights/model.safetensors`."""
    folders = {"weights": weights} if adapter is None else {"adapter": adapter, "weights": weights}
    return {
        f"{kind}/{file.name}": file
        for kind, folder in folders.items()
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.is_file()
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
