"""Into the review queue: new items, and what is newly known of items that are there.

Only ever one writer at a time, and reviewers wait for it a few milliseconds: see `QUEUE_LOCK`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import decisions, review_feedback, review_items
from loop_platform.defs.review.candidates import Candidate
from loop_platform.defs.review.clusters import Clusters, Vector
from loop_platform.defs.review.ranking import harm, rerank, uncertainty

QUEUE_LOCK = 7_300_001
"""Advisory lock: exclusive here, shared by who takes an item (SKIP LOCKED would see none while the
order is being rewritten)."""


@dataclass(frozen=True)
class Enqueued:
    """What became of the candidates."""

    added: int
    updated: int
    reopened: int
    unchanged: int


def enqueue(
    connection: sa.Connection, candidates: Sequence[Candidate], embeddings: Sequence[Vector]
) -> Enqueued:
    """Bring the candidates, each with its embedding, into the queue. Doing so twice is once."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(QUEUE_LOCK)))
    clusters = Clusters.load(connection)
    known = _items(connection, [candidate.item_id for candidate in candidates])
    became = [
        _update(connection, candidate, known[candidate.item_id])
        if candidate.item_id in known
        else _add(connection, candidate, embedding, clusters)
        for candidate, embedding in zip(candidates, embeddings, strict=True)
    ]
    rerank(connection)
    return Enqueued(*(became.count(kind) for kind in ("added", "updated", "reopened", "unchanged")))


def _items(connection: sa.Connection, item_ids: Sequence[str]) -> dict[str, sa.Row[Any]]:
    query = sa.select(review_items).where(review_items.c.item_id.in_(item_ids)).with_for_update()
    return {row.item_id: row for row in connection.execute(query)}


def _add(
    connection: sa.Connection, candidate: Candidate, embedding: Vector, clusters: Clusters
) -> str:
    connection.execute(
        sa.insert(review_items).values(
            item_id=candidate.item_id,
            call_id=candidate.call_id,
            tenant=candidate.tenant,
            task=candidate.task,
            release=candidate.release,
            cluster=clusters.assign(candidate.task, embedding),
            embedding=embedding.tolist(),
            harm=harm(candidate.flags, candidate.feedback),
            impact=0.0,  # these three are set by the reranking that follows
            novelty=0.0,
            priority=0.0,
            uncertainty=uncertainty(candidate.feedback, candidate.mean_logprob),
            messages=candidate.messages,
            answer=candidate.answer,
            flags=candidate.flags,
            feedback=candidate.feedback,
            **_proposal(candidate.feedback),
        )
    )
    _record(connection, candidate, candidate.feedback)
    return "added"


def _update(connection: sa.Connection, candidate: Candidate, item: sa.Row[Any]) -> str:
    seen = {said["feedback_id"] for said in item.feedback}
    fresh = [said for said in candidate.feedback if said["feedback_id"] not in seen]
    flags = candidate.flags or item.flags
    if not fresh and flags == item.flags:
        return "unchanged"
    feedback = [*item.feedback, *fresh]
    proposal = _proposal(fresh)
    reopened = bool(proposal) and item.proposed is None and _let_pass(connection, item)
    connection.execute(
        sa.update(review_items)
        .where(review_items.c.item_id == item.item_id)
        .values(
            flags=flags,
            feedback=feedback,
            harm=harm(flags, feedback),
            uncertainty=max(item.uncertainty, uncertainty(feedback, candidate.mean_logprob)),
            **(proposal if item.state == "open" or reopened else {}),
            **({"state": "open"} if reopened else {}),
        )
    )
    _record(connection, candidate, fresh)
    return "reopened" if reopened else "updated"


def _let_pass(connection: sa.Connection, item: sa.Row[Any]) -> bool:
    """Whether people found nothing wrong with it: a correction that comes now is news to them."""
    last = (
        sa.select(decisions.c.verdict)
        .where(decisions.c.item_id == item.item_id, decisions.c.verdict != "skip")
        .order_by(decisions.c.decided_at.desc())
        .limit(1)
    )
    return item.state == "decided" and connection.scalar(last) == "reject"


def _proposal(feedback: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The latest correction among `feedback`, as columns."""
    proposed = [said for said in feedback if said.get("correction") is not None]
    if not proposed:
        return {}
    latest = max(proposed, key=lambda said: (said["received_at"], said["feedback_id"]))
    return {
        "proposed": latest["correction"],
        "proposed_by": latest["contributor"],
        "proposed_in": latest["feedback_id"],
    }


def _record(
    connection: sa.Connection, candidate: Candidate, feedback: Sequence[dict[str, Any]]
) -> None:
    rows = [
        {
            "feedback_id": said["feedback_id"],
            "item_id": candidate.item_id,
            "tenant": candidate.tenant,
            "contributor": said["contributor"],
            "received_at": datetime.fromtimestamp(said["received_at"], UTC),
        }
        for said in feedback
    ]
    if rows:
        connection.execute(insert(review_feedback).on_conflict_do_nothing(), rows)
