"""The loop at a glance: traffic, queue, corrections that wait, the cycle that goes on, drift."""

from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from loop_platform.console import replies
from loop_platform.console.session import Console, Visit, needs
from loop_platform.database import drift_verdicts, engine_slots, review_items, route_counters
from loop_platform.database import routes as routes_table
from loop_platform.defs.curation.accepted import counts
from loop_platform.defs.curation.shares import usable
from loop_platform.release.approval import waits
from loop_platform.turns import turns

_RECENT = sa.text("interval '5 minutes'")


@needs("reviewer")
def status(visit: Visit) -> Response:
    return replies.json(overview(visit.console))


@needs("reviewer")
def drift(visit: Visit) -> Response:
    """The verdicts on drift, the latest first; `task` and `limit` narrow them."""
    with visit.console.database.connect() as connection:
        query = sa.select(drift_verdicts).order_by(drift_verdicts.c.reported_at.desc())
        if (task := visit.asked("task")) is not None:
            query = query.where(drift_verdicts.c.task == task)
        rows = connection.execute(query.limit(visit.number("limit", 50, 1000))).mappings().all()
    return replies.json({"drift": [dict(row) for row in rows]})


@needs("reviewer")
def page(visit: Visit) -> Response:
    return replies.page(visit.request, "overview.html", _context(visit))


@needs("reviewer")
def fragment(visit: Visit) -> Response:
    return replies.page(visit.request, "overview_loop.html", _context(visit))


def overview(console: Console) -> dict[str, Any]:
    """Everything that the overview shows, read at one moment."""
    curation = console.settings.curation
    with console.database.connect() as connection:
        route = connection.execute(
            sa.select(
                routes_table,
                (routes_table.c.lease_until > sa.func.clock_timestamp()).label("leased"),
            )
        ).mappings()
        waiting = counts(connection)
        return {
            "routes": next((dict(row) for row in route), None),
            "slots": _rows(connection, sa.select(engine_slots).order_by(engine_slots.c.slot)),
            "traffic": _traffic(connection),
            "queue": _queue(connection),
            "corrections": {
                "waiting": sum(waiting.values()),
                "usable": usable(waiting, curation.max_contributor_share),
                "needed": curation.min_corrections,
            },
            "cycles": turns(connection)[-4:],
            "waits": [
                {
                    "release": wait.release,
                    "stage": wait.stage,
                    "since": wait.since,
                    "why": str(wait),
                }
                for wait in waits(connection, console.settings.gates)
            ],
            "drift": _latest_drift(connection),
            "dagster_url": console.settings.dagster_url,
            "gateway_url": console.settings.gateway_url,
        }


def _context(visit: Visit) -> dict[str, Any]:
    return {"key": visit.key, "at": "overview", "loop": overview(visit.console)}


def _traffic(connection: sa.Connection) -> list[dict[str, Any]]:
    """Of the last five minutes, by release and route."""
    recent = route_counters.c.minute > sa.func.clock_timestamp() - _RECENT
    query = (
        sa.select(
            route_counters.c.release,
            route_counters.c.route,
            *(
                sa.cast(sa.func.sum(route_counters.c[name]), sa.Double).label(name)
                for name in ("calls", "errors", "latency_ms", "over_budget")
            ),
        )
        .where(recent)
        .group_by(route_counters.c.release, route_counters.c.route)
        .order_by(sa.desc("calls"))
    )
    return _rows(connection, query)


def _queue(connection: sa.Connection) -> dict[str, Any]:
    is_open = review_items.c.state == "open"
    held = sa.and_(is_open, review_items.c.leased_until > sa.func.clock_timestamp())
    query = sa.select(
        sa.func.count().filter(is_open).label("open"),
        sa.func.count().filter(held).label("held"),
        sa.func.count().filter(review_items.c.state == "decided").label("decided"),
        sa.func.count(review_items.c.cluster.distinct()).filter(is_open).label("failure_modes"),
        sa.func.min(review_items.c.created_at).filter(is_open).label("oldest"),
    ).select_from(review_items)
    return dict(connection.execute(query).mappings().one())


def _latest_drift(connection: sa.Connection) -> list[dict[str, Any]]:
    query = (
        sa.select(drift_verdicts)
        .distinct(drift_verdicts.c.task)
        .order_by(drift_verdicts.c.task, drift_verdicts.c.reported_at.desc())
    )
    return _rows(connection, query)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]
