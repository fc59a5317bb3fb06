"""What an engine slot is to serve: the file that the release controller writes and `serve` reads.

Importable in both environments.
"""

from pathlib import Path
from typing import Literal

import msgspec


class Assignment(msgspec.Struct, kw_only=True, frozen=True):
    """One release, or, with `adapter` serving, one base model and its adapters."""

    release: str
    """The name that the engine serves the weights under; nothing else is served."""
    weights_path: str
    port: int
    host: str = "127.0.0.1"
    serving: Literal["merged", "adapter"] = "merged"
    adapters: dict[str, str] = {}
    """Release → adapter folder (`adapter` serving)."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    max_model_len: int = 2048
    kv_cache_gib: int = 1
    gpu_share: float = 0.45
    """Of the GPU's memory, weights and cache together."""
    sleeps: bool = False
    """Whether it can be told to give the GPU's memory away for a while."""
    threads: int | None = None
    tool_parser: str | None = None
    """vLLM's reader of the model's tool calls."""
    max_rank: int = 64


def read(file: Path) -> Assignment:
    """The assignment in `file`.

    Raises:
        ValueError: the file is missing, no JSON, or not an assignment.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Assignment)
    except OSError as error:
        raise ValueError(f"assignment {file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"assignment {file} is not one: {error}") from error


def write(assignment: Assignment, file: Path) -> None:
    """Replace `file`, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.new")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(assignment), indent=1))
    scratch.replace(file)
