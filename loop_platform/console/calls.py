"""Finding calls in the lake, and one call whole."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa
from starlette.responses import Response

from loop_platform import manifest
from loop_platform.console import replies
from loop_platform.console.replies import Refused
from loop_platform.console.session import Visit, needs
from loop_platform.database import decisions, parts, review_items
from loop_platform.identity import hour_of
from loop_platform.lake import Lake

_LISTED = (
    "call_id",
    "tenant",
    "task",
    "user",
    "session",
    "release",
    "route",
    "started_at",
    "latency_ms",
    "status",
    "complete",
    "messages",
    "answer",
    "flags",
)

_MOST_HOURS = 24 * 7
"""How many hours with calls a search looks through, the latest first."""


@dataclass(frozen=True)
class Search:
    """What is looked for; every field that is set must hold."""

    call_id: str | None
    task: str | None
    user: str | None
    flag: str | None
    release: str | None
    text: str | None
    tenant: str | None
    limit: int


@needs("reviewer")
def listing(visit: Visit) -> Response:
    return replies.json({"calls": _found(visit)})


@needs("reviewer")
def page(visit: Visit) -> Response:
    context = {
        "key": visit.key,
        "at": "calls",
        "asked": visit.request.query_params,
        "calls": _found(visit),
    }
    return replies.page(visit.request, "calls.html", context)


@needs("reviewer")
def one_page(visit: Visit) -> Response:
    call = _whole(visit, visit.path("call_id"))
    return replies.page(visit.request, "call.html", {"key": visit.key, "at": "calls", "call": call})


def _found(visit: Visit) -> list[dict[str, Any]]:
    search = Search(
        call_id=visit.asked("id"),
        task=visit.asked("task"),
        user=visit.asked("user"),
        flag=visit.asked("flag"),
        release=visit.asked("release"),
        text=visit.asked("text"),
        tenant=None if visit.key.may("admin") else visit.key.tenant,
        limit=visit.number("limit", 50, 1000),
    )
    with visit.console.database.connect() as connection:
        return find(connection, visit.console.lake, search)


def find(connection: sa.Connection, lake: Lake, search: Search) -> list[dict[str, Any]]:
    """The calls that match, the latest first: hour by hour back, until there are enough."""
    found: list[dict[str, Any]] = []
    for hour in _hours(connection, search):
        signals = manifest.signals(connection, lake, hours={hour}).select("call_id", "flags")
        calls = manifest.calls(connection, lake, hours={hour}).join(
            signals, on="call_id", how="left"
        )
        matching = (
            calls.filter(*_conditions(search))
            .sort("call_id", descending=True)
            .head(search.limit - len(found))
            .select(_LISTED)
            .collect()
        )
        found += [_readable(row) for row in matching.iter_rows(named=True)]
        if len(found) >= search.limit:
            break
    return found


def _hours(connection: sa.Connection, search: Search) -> list[str]:
    if search.call_id is not None:
        try:
            return [hour_of(search.call_id)]
        except ValueError:
            return []
    query = (
        sa.select(parts.c.hour.distinct())
        .where(parts.c.asset == "telemetry/calls", parts.c.rows > 0)
        .order_by(parts.c.hour.desc())
        .limit(_MOST_HOURS)
    )
    return list(connection.scalars(query))


def _conditions(search: Search) -> Iterator[pl.Expr]:
    exact = {"task": search.task, "release": search.release, "tenant": search.tenant}
    exact |= {"call_id": search.call_id, "user": search.user}
    yield from (pl.col(name) == value for name, value in exact.items() if value is not None)
    if search.flag is not None:
        yield pl.col("flags").str.contains(f'"signal": ?"{re.escape(search.flag)}"')
    if search.text is not None:
        wanted = f"(?i){re.escape(search.text)}"
        yield pl.any_horizontal(
            pl.col(name).str.contains(wanted).fill_null(value=False)
            for name in ("messages", "answer")
        )


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    said = json.loads(row["messages"] or "[]")
    return {**row, "messages": said, "flags": json.loads(row["flags"] or "[]")}


def _whole(visit: Visit, call_id: str) -> dict[str, Any]:
    """A call with its signals, what was said of it, and what people decided."""
    try:
        hour = hour_of(call_id)
    except ValueError as error:
        raise Refused(404, f"there is no call {call_id!r}") from error
    lake = visit.console.lake
    this = pl.col("call_id") == call_id
    with visit.console.database.connect() as connection:
        calls = manifest.calls(connection, lake, hours={hour})
        found = calls.filter(this).collect().to_dicts()
        if not found or not _may_see(visit, found[0]):
            raise Refused(404, f"there is no call {call_id!r}, or it has not arrived yet")
        mirrored = calls.filter(pl.col("pair_id") == call_id).collect().to_dicts()
        signals = manifest.signals(connection, lake, hours={hour}).filter(this).collect().to_dicts()
        review = _review(connection, call_id)
    return {
        **_readable({**found[0], "flags": signals[0]["flags"] if signals else None}),
        "signals": _measured(signals[0]) if signals else {},
        "mirrored": mirrored,
        "review": review,
    }


def _may_see(visit: Visit, call: dict[str, Any]) -> bool:
    return visit.key.may("admin") or call["tenant"] == visit.key.tenant


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    """The signals themselves, without what says whose they are."""
    others = {"call_id", "task", "release", "route", "hour", "segment_id", "embedding", "flags"}
    return {name: value for name, value in row.items() if name not in others}


def _review(connection: sa.Connection, call_id: str) -> dict[str, Any] | None:
    query = sa.select(review_items).where(review_items.c.call_id == call_id)
    item = connection.execute(query).mappings().one_or_none()
    if item is None:
        return None
    said = sa.select(decisions).where(decisions.c.item_id == item["item_id"])
    rows = connection.execute(said.order_by(decisions.c.decided_at)).mappings()
    return {**item, "decisions": [dict(row) for row in rows]}
