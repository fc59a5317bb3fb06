"""Sentence embeddings: the packaged MiniLM by onnxruntime, or any sentence-transformers model."""

from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loop_platform.packaged import packaged_path

Vectors = npt.NDArray[np.float32]

_MAX_TOKENS = 256
_BATCH = 32


class Embedder(Protocol):
    """Turns texts into vectors of length one."""

    dimensions: int

    def embed(self, texts: list[str]) -> Vectors: ...


@cache
def embedder(name: str) -> Embedder:
    """The embedder of the settings: `packaged:…`, a Hugging Face id or a local path."""
    if name.startswith("packaged:"):
        return OnnxEmbedder(packaged_path(name.removeprefix("packaged:")))
    return TransformersEmbedder(name)


class OnnxEmbedder:
    """A sentence-transformers export (`model.onnx`, `tokenizer.json`); needs no torch."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self.dimensions: int = self._session.get_outputs()[0].shape[-1]

    def embed(self, texts: list[str]) -> Vectors:
        """One unit vector a text, in their order."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        # Texts of like length share a batch: padding costs as much as words.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = self._batch([texts[row] for row in rows])
        return vectors

    def _batch(self, texts: list[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(texts)
        mask = np.array([entry.attention_mask for entry in encoded], np.int64)
        given = {
            "input_ids": np.array([entry.ids for entry in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        feed = {name: value for name, value in given.items() if name in self._inputs}
        return _pooled(self._session.run(None, feed)[0], mask)


class TransformersEmbedder:
    """Any model that transformers loads, by the mean over its tokens."""

    def __init__(self, name: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(name)
        self._model = AutoModel.from_pretrained(name).eval()
        self.dimensions: int = self._model.config.hidden_size

    def embed(self, texts: list[str]) -> Vectors:
        """One unit vector a text, in their order."""
        batches = [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]
        empty = np.zeros((0, self.dimensions), np.float32)
        return np.concatenate([empty, *(self._batch(batch) for batch in batches)])

    def _batch(self, texts: list[str]) -> Vectors:
        import torch

        encoded = self._tokenizer(
            texts, padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._model(**encoded).last_hidden_state.float().numpy()
        return _pooled(states, encoded["attention_mask"].numpy())


def _pooled(states: Vectors, mask: npt.NDArray[np.int64]) -> Vectors:
    """The mean over the tokens that are not padding, at length one."""
    weights = mask[:, :, None].astype(np.float32)
    means = (states * weights).sum(1) / np.maximum(weights.sum(1), 1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    pooled: Vectors = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return pooled
