"""The review queue's intake: an asset an hour; the queue itself is in PostgreSQL."""

from collections.abc import Sequence

import dagster as dg
import numpy as np
import polars as pl

from loop_platform.defs.resources import LoopResource
from loop_platform.defs.review.candidates import Candidate
from loop_platform.defs.review.clusters import Vector, as_vector
from loop_platform.defs.review.hour import items, news
from loop_platform.defs.review.queue import enqueue
from loop_platform.embedder import embedder
from loop_platform.partitions import hourly


@dg.asset(
    key_prefix="review",
    group_name="review",
    partitions_def=hourly,
    deps=[
        dg.AssetKey(["telemetry", "calls"]),
        dg.AssetKey(["telemetry", "feedback"]),
        dg.AssetKey(["monitoring", "signals"]),
    ],
    kinds={"polars", "postgres"},
    owners=["team:loop"],
)
def candidates(
    context: dg.AssetExecutionContext, loop: LoopResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Flagged calls and fresh feedback, whatever hour their call was in, in the review queue."""
    hour = context.partition_key
    with loop.database.begin() as connection:
        fresh = news(connection, loop.lake, hour)
    embeddings = _embeddings(fresh.candidates, loop.settings.models.embedder)
    with loop.database.begin() as connection:
        became = enqueue(connection, fresh.candidates, embeddings)
        frame = items(connection, hour)
    return dg.MaterializeResult(
        value=frame,
        metadata={
            "dagster/row_count": frame.height,
            "clusters": frame["cluster"].n_unique(),
            "new flagged calls": fresh.flagged,
            "new feedback": fresh.said,
            "items added": became.added,
            "items updated": became.updated,
            "items reopened by a correction": became.reopened,
            "left: feedback whose call has not arrived": fresh.late,
            "left: feedback that asks for no decision": _praise(fresh.said, fresh.candidates)
            - fresh.late,
        },
    )


def _praise(said: int, queued: Sequence[Candidate]) -> int:
    return said - sum(len(candidate.feedback) for candidate in queued)


def _embeddings(queued: Sequence[Candidate], model: str) -> list[Vector]:
    """The embedding that the signals have, or, for what they did not embed, one made here."""
    missing = [candidate.prompt for candidate in queued if candidate.embedding is None]
    made = iter(embedder(model).embed(missing) if missing else np.empty((0, 0), np.float32))
    return [
        next(made) if candidate.embedding is None else as_vector(candidate.embedding)
        for candidate in queued
    ]
