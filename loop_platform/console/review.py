"""The review page and the API behind it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from loop_platform.console import replies
from loop_platform.console.queue import (
    Decision,
    HeldError,
    UnknownItemError,
    decide,
    listing,
    take,
)
from loop_platform.console.replies import Refused
from loop_platform.console.session import Visit, needs
from loop_platform.database import decisions, review_items

_SHOWN = (
    "item_id",
    "call_id",
    "tenant",
    "task",
    "release",
    "cluster",
    "priority",
    "impact",
    "novelty",
    "uncertainty",
    "messages",
    "answer",
    "flags",
    "feedback",
    "proposed",
    "proposed_by",
    "leased_until",
    "created_at",
)


@needs("reviewer")
def next_item(visit: Visit) -> Response:
    """The next item, leased; 204 when none is free. `resume=true` gives the one already held."""
    item = _take(visit, resume=visit.asked("resume") == "true")
    return Response(status_code=204) if item is None else replies.json(item)


@needs("reviewer")
def decision(visit: Visit) -> Response:
    """Takes `{"verdict", "chosen"?, "note"?}`."""
    item_id = visit.path("item_id")
    given = Decision(
        verdict=str(visit.body.get("verdict")),
        chosen=_text(visit.body, "chosen"),
        note=_text(visit.body, "note"),
    )
    try:
        with visit.console.database.begin() as connection:
            decision_id = decide(connection, visit.key, item_id, given)
    except UnknownItemError as error:
        raise Refused(404, str(error)) from error
    except HeldError as error:
        raise Refused(409, str(error)) from error
    except ValueError as error:
        raise Refused(400, str(error)) from error
    return replies.json({"decision_id": decision_id, "item_id": item_id, "verdict": given.verdict})


@needs("reviewer")
def items(visit: Visit) -> Response:
    """The queue as a list: `state=open|decided`, `order=priority|fifo`, `limit`."""
    order = visit.asked("order") or "priority"
    if order not in ("priority", "fifo"):
        raise Refused(400, f"order is {order!r}; it is priority or fifo")
    state = visit.asked("state")
    if state not in (None, "open", "decided"):
        raise Refused(400, f"state is {state!r}; it is open or decided")
    limit = visit.number("limit", 50, 10_000)
    with visit.console.database.connect() as connection:
        found = listing(connection, visit.key, state=state, order=order, limit=limit)
    return replies.json({"items": [dict(row) for row in found]})


@needs("reviewer")
def page(visit: Visit) -> Response:
    return replies.page(visit.request, "review.html", _context(visit))


@needs("reviewer")
def fragment(visit: Visit) -> Response:
    """The item alone, for the page to put in its place."""
    return replies.page(visit.request, "review_item.html", _context(visit))


def _context(visit: Visit) -> dict[str, Any]:
    item = _take(visit, resume=True)
    return {"key": visit.key, "at": "review", "item": item, "progress": _progress(visit, item)}


def _take(visit: Visit, *, resume: bool) -> dict[str, Any] | None:
    lease_s = visit.console.settings.console.lease_s
    with visit.console.database.begin() as connection:
        row = take(connection, visit.key, lease_s, resume=resume)
    return None if row is None else {name: row._mapping[name] for name in _SHOWN}


def _progress(visit: Visit, item: Mapping[str, Any] | None) -> dict[str, Any]:
    """How much is left, what this reviewer did today, and how common the item's kind is."""
    today = sa.func.date_trunc("day", sa.func.clock_timestamp())
    like = review_items.c.cluster == (item["cluster"] if item else "")
    with visit.console.database.connect() as connection:
        count = sa.select(sa.func.count())
        return {
            "open": connection.scalar(count.where(review_items.c.state == "open")),
            "like": connection.scalar(count.where(review_items.c.state == "open", like)),
            "today": connection.scalar(
                count.where(
                    decisions.c.reviewer == visit.key.name,
                    decisions.c.decided_at >= today,
                    decisions.c.verdict != "skip",
                )
            ),
            "lease_s": _left(item["leased_until"]) if item else None,
        }


def _left(until: datetime) -> float:
    return max(0.0, (until - datetime.now(until.tzinfo)).total_seconds())


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(400, f"{name} is {value!r}; it is a text")
    return value
