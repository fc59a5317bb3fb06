"""Review items for tests, as the queue's intake makes them."""

import time
from typing import Any

import numpy as np
import sqlalchemy as sa

from loop_platform.defs.review.candidates import Candidate
from loop_platform.defs.review.clusters import Vector
from loop_platform.defs.review.queue import Enqueued, enqueue
from loop_platform.identity import new_id


def vector(kind: int, of: int = 8) -> Vector:
    """One direction a kind."""
    return np.eye(of, dtype=np.float32)[kind]


def said(kind: str, contributor: str = "user-1", **what: Any) -> dict[str, Any]:
    known = {"feedback_id": new_id(), "kind": kind, "contributor": contributor}
    return known | {"received_at": time.time()} | what


def candidate(prompt: str = "turn on the lamp", **fields: Any) -> Candidate:
    call_id = new_id()
    given: dict[str, Any] = {
        "item_id": call_id,
        "call_id": call_id,
        "tenant": "acme",
        "task": "home",
        "release": "base-1",
        "messages": [{"role": "user", "content": prompt}],
        "answer": "I cannot do that.",
        "mean_logprob": -0.5,
        "embedding": None,
    }
    return Candidate(**(given | fields))


def queued(database: sa.Engine, *candidates: Candidate, kinds: list[int] | None = None) -> Enqueued:
    """Put them into the queue; `kinds` says which of them are alike."""
    directions = kinds or [0] * len(candidates)
    with database.begin() as connection:
        return enqueue(connection, candidates, [vector(kind) for kind in directions])


def corrected(prompt: str, right: str, contributor: str = "user-1", **fields: Any) -> Candidate:
    """A call that somebody sent the right answer for."""
    feedback = [said("correction", contributor, correction=right)]
    return candidate(prompt, feedback=feedback, **fields)
