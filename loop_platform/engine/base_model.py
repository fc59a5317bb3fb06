"""Brings the base model into the form that training and serving read: a Hugging Face folder with
safetensors, a tokenizer and its chat template.

    python -m loop_platform.engine.base_model --model packaged:… --out models/base

`--model` is `packaged:<name>`, a Hugging Face id, a folder, or a GGUF file.
"""

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

PACKAGED = "packaged:"


class BaseModelError(RuntimeError):
    """The base model is missing or cannot be read."""


def prepare(model: str, out: Path, dtype: str = "bfloat16") -> Path:
    """The folder `out`, made from `model` unless it is there already."""
    if (out / "config.json").is_file():
        return out
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    network, tokenizer = _load(model, dtype)
    network.save_pretrained(scratch, safe_serialization=True)
    tokenizer.save_pretrained(scratch)
    scratch.rename(out)
    return out


def weights_hash(folder: Path) -> str:
    """SHA-256 over the safetensors of a model folder: what names a base release."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError(f"{folder} holds no *.safetensors file: make it with `prepare`")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _load(model: str, dtype: str) -> tuple[Any, Any]:
    """Network and tokenizer of a Hugging Face id, a folder or a GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = _packaged(model) if model.startswith(PACKAGED) else Path(model)
    if path.suffix != ".gguf":
        return (
            AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)),
            AutoTokenizer.from_pretrained(model),
        )
    if not path.is_file():
        raise BaseModelError(f"there is no file {path}: fetch the packaged models (`make models`)")
    source = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    quantised = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    return _plain(quantised, getattr(torch, dtype)), AutoTokenizer.from_pretrained(**source)


def _plain(quantised: Any, dtype: Any) -> Any:  # noqa: ANN401 - transformers is untyped
    """The same weights in a fresh model: one that was loaded from GGUF refuses to be saved."""
    config = type(quantised.config)(
        **{
            key: value
            for key, value in quantised.config.to_dict().items()
            if key not in ("quantization_config", "_name_or_path", "dtype")
        }
    )
    plain = type(quantised)(config)
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = quantised.generation_config
    return plain.to(dtype)


def _packaged(model: str) -> Path:
    from loop_platform.packaged import packaged_path

    return packaged_path(model.removeprefix(PACKAGED))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    arguments = parser.parse_args()
    try:
        folder = prepare(arguments.model, arguments.out, arguments.dtype)
    except (BaseModelError, OSError) as error:
        print(f"base model {arguments.model!r}: {error}", file=sys.stderr)
        return 1
    print(weights_hash(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
