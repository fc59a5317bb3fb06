"""Corrections that reviewers accepted, for tests."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from loop_platform.console.queue import Decision, decide
from loop_platform.defs.review.candidates import Candidate
from loop_platform.defs.review.queue import enqueue
from loop_platform.keys import Key
from loop_platform_tests.review.queues import corrected

ADA = Key("k-ada", "reviewer", "acme", "ada")


def accepted(database: sa.Engine, *calls: Candidate, verdict: str = "accept") -> list[str]:
    """Queue the calls, all unlike each other, and decide them; returns the decisions' ids."""
    random = np.random.default_rng(sum(map(ord, calls[0].item_id)))
    rows = random.normal(size=(len(calls), 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return decided(database, calls, list(rows), Decision(verdict))


def decided(
    database: sa.Engine,
    calls: Sequence[Candidate],
    embeddings: Sequence[np.ndarray],
    decision: Decision,
) -> list[str]:
    with database.begin() as connection:
        enqueue(connection, calls, embeddings)
        return [decide(connection, ADA, call.item_id, decision) for call in calls]


def crowd(number: int, *, start: int = 0) -> list[Candidate]:
    """Corrections by as many people."""
    return [
        corrected(f"command {n}", f'{{"intent": "{n}"}}', f"user-{n}")
        for n in range(start, start + number)
    ]
