"""Observes calls: their prompts' embeddings, every signal, and the flags that these raise."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import polars as pl

from loop_platform.defs.monitoring.observed import ObservedCall
from loop_platform.defs.monitoring.signals import signals
from loop_platform.embedder import Embedder, Vectors
from loop_platform.tables import schema

# With fewer prompts before it, everything is new.
_FEWEST = 50
_ROWS = 512


@dataclass(frozen=True)
class Reference:
    """The prompts that novelty is measured against: the latest before a call, mirrors left out."""

    call_ids: list[str]
    vectors: Vectors
    limit: int

    @classmethod
    def of(cls, rows: pl.DataFrame, limit: int) -> "Reference":
        """The embedded rows of `monitoring/signals`."""
        rows = rows.filter(pl.col("embedding").is_not_null(), pl.col("route") != "shadow")
        rows = rows.sort("call_id")
        flat = rows["embedding"].explode().to_numpy()
        vectors = flat.reshape(rows.height, -1) if rows.height else np.zeros((0, 0), np.float32)
        return cls(rows["call_id"].to_list(), vectors, limit)

    def before(self, call_id: str) -> Vectors:
        earlier = bisect_left(self.call_ids, call_id)
        return self.vectors[max(0, earlier - self.limit) : earlier]


def observe(
    calls: pl.DataFrame, reference: Reference, embedder: Embedder, share: float
) -> pl.DataFrame:
    """The signals of one segment's calls, in the order of their ids.

    A stated share of each task is embedded; a mirrored call is not new, its pair was.
    """
    calls = calls.sort("call_id")
    if calls.is_empty():
        return pl.DataFrame(schema=schema("monitoring/signals"))
    observed = [ObservedCall.of(row, nearest=None) for row in calls.iter_rows(named=True)]
    embedded = _embedded(calls, share)
    vectors = _vectors([call.prompt for call in observed], embedded, embedder)
    own = embedded & (calls["route"] != "shadow").to_numpy()
    nearest = _nearest(vectors, own, reference.before(calls["call_id"][0]))
    rows = [
        _row(replace(call, nearest=near), row)
        | {"embedding": vector.tolist() if has_vector else None}
        for call, row, near, vector, has_vector in zip(
            observed, calls.iter_rows(named=True), nearest, vectors, embedded, strict=True
        )
    ]
    return pl.DataFrame(rows, schema("monitoring/signals"))


def _embedded(calls: pl.DataFrame, share: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The calls to embed: of each task the share, by the random end of their ids."""
    place = pl.col("call_id").str.tail(8).rank("ordinal").over("task")
    taken = (place <= (pl.len().over("task") * share).ceil()) & (pl.col("messages") != "[]")
    return calls.select(taken.fill_null(value=False)).to_series().to_numpy().astype(np.bool_)


def _vectors(
    prompts: list[str], embedded: np.ndarray[Any, np.dtype[np.bool_]], embedder: Embedder
) -> Vectors:
    """Zeros where not embedded; the same prompt is embedded once."""
    wanted = dict.fromkeys(p for p, take in zip(prompts, embedded, strict=True) if take)
    vectors = np.zeros((len(prompts), embedder.dimensions), np.float32)
    if wanted:
        known = dict(zip(wanted, embedder.embed(list(wanted)), strict=True))
        for at in np.flatnonzero(embedded):
            vectors[at] = known[prompts[at]]
    return vectors


def _nearest(
    vectors: Vectors, own: np.ndarray[Any, np.dtype[np.bool_]], before: Vectors
) -> list[float | None]:
    """The highest similarity to a prompt before: of the reference, or earlier in this segment."""
    known = np.concatenate([before.reshape(-1, vectors.shape[1]), vectors])
    eligible = np.concatenate([np.ones(len(before), np.bool_), own])
    nearest: list[float | None] = []
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        similarity = vectors[rows] @ known.T
        for at, line in enumerate(similarity, start=start):
            earlier = line[: len(before) + at][eligible[: len(before) + at]]
            enough = own[at] and len(earlier) >= _FEWEST
            nearest.append(float(earlier.max()) if enough else None)
    return nearest


def _row(call: ObservedCall, row: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, float | None] = {}
    flags: list[dict[str, str]] = []
    for signal in signals():
        value = signal.measure(call)
        values[signal.name] = value if value is None or math.isfinite(value) else None
        if value is not None and (reason := signal.reason(value)):
            flags.append({"signal": signal.name, "reason": reason})
    same = ("call_id", "task", "release", "route", "hour", "segment_id")
    return {name: row[name] for name in same} | values | {"flags": _json(flags)}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
