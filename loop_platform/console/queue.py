"""Out of the review queue: a reviewer takes an item, and decides it.

An item that is taken is leased: nobody else gets it until the lease is over. Taking and deciding
are one transaction each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from loop_platform.database import decisions, review_items
from loop_platform.defs.review.queue import QUEUE_LOCK
from loop_platform.identity import new_id
from loop_platform.keys import Key

VERDICTS = ("accept", "correct", "reject", "malicious", "skip")

_NOW = sa.func.clock_timestamp()


class UnknownItemError(LookupError):
    """No such item, or one of another tenant."""


class HeldError(RuntimeError):
    """The item is decided, or another reviewer holds it."""


@dataclass(frozen=True)
class Decision:
    """What a reviewer says of an item."""

    verdict: str
    chosen: str | None = None
    note: str | None = None


def take(
    connection: sa.Connection, key: Key, lease_s: float, *, resume: bool = False
) -> sa.Row[Any] | None:
    """The most important item that is free, leased to this reviewer; None when there is none.

    Nobody but an admin is given what they proposed themselves; what a reviewer skipped is left to
    others.

    Args:
        resume: give the item that the reviewer already holds, if they hold one.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(QUEUE_LOCK)))
    held = review_items.c.leased_until > _NOW
    mine = sa.and_(held, review_items.c.leased_by == key.name)
    free = sa.or_(review_items.c.leased_until.is_(None), ~held)
    candidates = (
        sa.select(review_items.c.item_id)
        .where(review_items.c.state == "open", _visible(key), _takeable(key))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    order = (review_items.c.priority.desc(), review_items.c.item_id)
    # A reviewer's own lease first, for who reloads the page; else the head of the queue.
    wanted = [mine, free] if resume else [free]
    for condition in wanted:
        item_id = connection.scalar(candidates.where(condition).order_by(*order))
        if item_id is not None:
            return _lease(connection, item_id, key, lease_s)
    return None


def decide(connection: sa.Connection, key: Key, item_id: str, decision: Decision) -> str:
    """Records a decision and takes the item out of the queue; returns the decision's id.

    Raises:
        UnknownItemError: there is no such item for this reviewer.
        HeldError: it is decided already, or somebody else's.
        ValueError: the decision does not fit the item.
    """
    query = sa.select(review_items, (review_items.c.leased_until > _NOW).label("held")).where(
        review_items.c.item_id == item_id, _visible(key)
    )
    item = connection.execute(query.with_for_update()).one_or_none()
    if item is None:
        raise UnknownItemError(f"there is no review item {item_id!r}")
    if item.state != "open":
        raise HeldError(f"review item {item_id!r} is decided already")
    if item.held and item.leased_by != key.name:
        raise HeldError(f"review item {item_id!r} is with another reviewer")
    decision_id = new_id()
    connection.execute(
        sa.insert(decisions).values(
            decision_id=decision_id,
            item_id=item_id,
            reviewer=key.name,
            verdict=decision.verdict,
            chosen=_chosen(item, decision),
            note=decision.note,
        )
    )
    connection.execute(
        sa.update(review_items)
        .where(review_items.c.item_id == item_id)
        .values(
            state="open" if decision.verdict == "skip" else "decided",
            leased_by=None,
            leased_until=None,
        )
    )
    return decision_id


def listing(
    connection: sa.Connection, key: Key, *, state: str | None, order: str, limit: int
) -> Sequence[sa.RowMapping]:
    """The queue as data, by priority or as it came in, each item with the last word on it."""
    verdict = (
        sa.select(decisions.c.verdict)
        .where(decisions.c.item_id == review_items.c.item_id, decisions.c.verdict != "skip")
        .order_by(decisions.c.decided_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    names = ("item_id", "call_id", "cluster", "task", "priority", "state", "created_at")
    query = sa.select(*(review_items.c[name] for name in names), verdict.label("verdict")).where(
        _visible(key)
    )
    if state is not None:
        query = query.where(review_items.c.state == state)
    by = {
        "priority": (review_items.c.priority.desc(), review_items.c.item_id),
        "fifo": (review_items.c.created_at, review_items.c.item_id),
    }
    return connection.execute(query.order_by(*by[order]).limit(limit)).mappings().all()


def _visible(key: Key) -> sa.ColumnElement[bool]:
    """Reviewers see their tenant's items, admins all."""
    return sa.true() if key.may("admin") else review_items.c.tenant == key.tenant


def _takeable(key: Key) -> sa.ColumnElement[bool]:
    skipped = sa.exists().where(
        decisions.c.item_id == review_items.c.item_id,
        decisions.c.reviewer == key.name,
        decisions.c.verdict == "skip",
    )
    if key.may("admin"):
        return ~skipped
    return sa.and_(~skipped, review_items.c.proposed_by.is_distinct_from(key.name))


def _lease(connection: sa.Connection, item_id: str, key: Key, lease_s: float) -> sa.Row[Any]:
    until = _NOW + sa.cast(f"{lease_s} seconds", sa.Interval)
    leased = connection.execute(
        sa.update(review_items)
        .where(review_items.c.item_id == item_id)
        .values(leased_by=key.name, leased_until=until)
        .returning(review_items)
    )
    return leased.one()


def _chosen(item: sa.Row[Any], decision: Decision) -> str | None:
    """The right answer that the decision stands for."""
    if decision.verdict not in VERDICTS:
        raise ValueError(f"{decision.verdict!r} is no verdict; it is one of {', '.join(VERDICTS)}")
    if decision.verdict == "accept":
        if item.proposed is None:
            raise ValueError("nobody proposed an answer to accept; correct it or reject it")
        return str(item.proposed)
    if decision.verdict != "correct":
        return None
    chosen = (decision.chosen or "").strip()
    if not chosen:
        raise ValueError("a correction needs the right answer, in `chosen`")
    if chosen == (item.answer or "").strip():
        raise ValueError("this is the model's own answer: reject the item instead")
    return chosen
