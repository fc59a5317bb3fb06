"""What `loop status` reads: a handful of counts and rows, all of them quick."""

from typing import Any, TypedDict

import sqlalchemy as sa

from loop_platform.database import (
    cycles,
    engine_slots,
    releases,
    review_items,
    segment_hours,
    segments,
)
from loop_platform.release import approval, routes
from loop_platform.settings import settings


class Overview(TypedDict):
    """Everything but the programs."""

    routes: dict[str, Any]
    slots: list[dict[str, Any]]
    releases: list[dict[str, Any]]
    review: dict[str, int]
    waits: list[dict[str, Any]]
    open_cycle: dict[str, Any] | None
    segments: int
    segments_pending: int


def overview(connection: sa.Connection) -> Overview:
    open_cycles = _rows(
        connection,
        sa.select(cycles.c.cycle, cycles.c.kind, cycles.c.reason, cycles.c.opened_at)
        .where(cycles.c.closed_at.is_(None))
        .order_by(cycles.c.opened_at),
    )
    waiting = sa.select(sa.func.count(segment_hours.c.segment_id.distinct()))
    return {
        "routes": {k: v for k, v in routes.read(connection)._mapping.items() if k != "only"},
        "slots": _rows(connection, sa.select(engine_slots).order_by(engine_slots.c.slot)),
        "releases": _releases(connection),
        "review": _review(connection),
        "waits": [
            {"release": wait.release, "stage": wait.stage, "since": wait.since, "why": str(wait)}
            for wait in approval.waits(connection, settings().gates)
        ],
        "open_cycle": open_cycles[0] if open_cycles else None,
        "segments": connection.scalar(sa.select(sa.func.count()).select_from(segments)) or 0,
        "segments_pending": connection.scalar(waiting.where(~segment_hours.c.settled)) or 0,
    }


def _releases(connection: sa.Connection) -> list[dict[str, Any]]:
    query = sa.select(
        releases.c.release,
        releases.c.state,
        releases.c.cycle,
        releases.c.parent,
        releases.c.drill,
        releases.c.state_since.label("since"),
    )
    return _rows(connection, query.order_by(releases.c.created_at, releases.c.release))


def _review(connection: sa.Connection) -> dict[str, int]:
    query = sa.select(review_items.c.state, sa.func.count()).group_by(review_items.c.state)
    return {"open": 0, "decided": 0, **dict(connection.execute(query).tuples().all())}


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]
