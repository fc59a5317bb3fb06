"""Adapters on disk: safetensors and JSON alone, in a folder named by the hash of its content.

A pickle runs code when it is read, so a folder that holds one is refused before anything is loaded.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})


class AdapterRefusedError(ValueError):
    """A folder that is no adapter, or not a safe one."""


_UNSERVABLE = ("use_dora", "modules_to_save", "trainable_token_indices", "target_parameters")


def check(folder: Path) -> None:
    """See that `folder` is an adapter and holds nothing that could run code.

    Raises:
        AdapterRefusedError: a file is missing, may be a pickle, or is no safetensors inside.
    """
    check_no_pickle(folder)
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise AdapterRefusedError(f"{folder} has no {name}: it is no adapter")
    _check_safetensors(folder / WEIGHTS)


def check_no_pickle(folder: Path) -> None:
    """See that no file of `folder`, a model's or an adapter's, could run code.

    Raises:
        AdapterRefusedError: one may be a pickle.
    """
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (file.suffix in _PICKLES or _is_pickle(file)):
            raise AdapterRefusedError(
                f"{file} may be a pickle, which runs code when read: only safetensors are loaded"
            )


def check_servable(folder: Path) -> None:
    """See that an adapter is a plain LoRA, which is what engines serve.

    Raises:
        AdapterRefusedError: it is another kind, or trains more than low-rank changes.
    """
    config = json.loads((folder / CONFIG).read_text())
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterRefusedError(f"{folder} is an adapter of type {kind!r}: only LORA is served")
    more = [name for name in _UNSERVABLE if config.get(name)]
    if config.get("bias", "none") != "none":
        more.append("bias")
    if more:
        raise AdapterRefusedError(f"{folder} is no plain LoRA: its {CONFIG} sets {', '.join(more)}")


def content_hash(folder: Path) -> str:
    """The adapter's name: SHA-256 over its configuration and its weights."""
    config = json.loads((folder / CONFIG).read_text())
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    with (folder / WEIGHTS).open("rb") as opened:
        digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def fresh(model: Any, rank: int, alpha: int, seed: int) -> Any:  # noqa: ANN401 - peft is untyped
    """The model with a new adapter on every linear layer; it says what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def attached(model: Any, folder: Path, *, trainable: bool) -> Any:  # noqa: ANN401
    """The model with the adapter in `folder`.

    Raises:
        AdapterRefusedError: see `check`.
    """
    from peft import PeftModel

    check(folder)
    return PeftModel.from_pretrained(
        model, str(folder), is_trainable=trainable, autocast_adapter_dtype=False
    )


def rank(folder: Path) -> int:
    """The rank in an adapter's configuration."""
    return int(json.loads((folder / CONFIG).read_text())["r"])


def save(adapted: Any, folder: Path, base_name: str) -> str:  # noqa: ANN401
    """Write the adapter into `folder`; returns its hash."""
    import peft
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = adapted.peft_config["default"]
    # A path of this machine would change the hash and mean nothing on another.
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set has no order to be hashed
    config.save_pretrained(str(folder))
    state = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    tensors = {name: weight.detach().contiguous() for name, weight in sorted(state.items())}
    save_file(tensors, str(folder / WEIGHTS), metadata={"format": "pt"})
    return content_hash(folder)


def _is_pickle(file: Path) -> bool:
    """Pickles of protocol 2 and later begin with 0x80; torch's and NumPy's zips with `PK`."""
    with file.open("rb") as opened:
        start = opened.read(4)
    return (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05") or start[:2] == b"PK"


def _check_safetensors(file: Path) -> None:
    """The format: eight bytes of header length, then a JSON object that fits in the file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            if length > min(file.stat().st_size, 100 * 2**20):
                raise ValueError("its header is longer than the file")
            header = json.loads(opened.read(length))
            if not isinstance(header, dict) or len(header) <= ("__metadata__" in header):
                raise ValueError("its header names no tensor")
        except ValueError as error:
            raise AdapterRefusedError(f"{file} is no safetensors file: {error}") from error
