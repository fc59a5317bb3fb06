"""Where traffic goes: one row, which follows from the states, the slots and the trials.

Nothing else decides on a route. A canary or a shadow is in the row only while its engine is ready,
and counts only while the lease (loop_platform/release/leases.py) has time left.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import engine_slots, releases, route_counters, routes, trials
from loop_platform.release.states import State
from loop_platform.release.trials import MORE
from loop_platform.settings import GateSettings

# Copies for each pair that the next look waits for: some copies fail, and some of their calls.
_ENOUGH = 1.25

_mirrored = (
    sa.select(sa.func.coalesce(sa.func.sum(route_counters.c.calls), 0))
    .where(route_counters.c.release == releases.c.release, route_counters.c.route == "shadow")
    .correlate(releases)
    .scalar_subquery()
)


_looked_at = sa.func.coalesce(trials.c.evidence["looked_at"].as_integer(), 0)

# As Trial.next_look has it.
_next_look = sa.func.greatest(
    trials.c.planned, sa.func.least(trials.c.budget, sa.func.ceil(MORE * _looked_at))
)


def follow(connection: sa.Connection, gates: GateSettings) -> bool:
    """Bring the row in line with the tables; whether it changed."""
    _ensure(connection)
    target = {
        **_champion(connection),
        **_trial(connection, State.CANARY, gates.canary_share),
        **_trial(connection, State.SHADOW, gates.shadow_share),
    }
    changed = sa.or_(*(routes.c[name].is_distinct_from(value) for name, value in target.items()))
    result = connection.execute(
        sa.update(routes)
        .where(changed)
        .values(**target, version=routes.c.version + 1, changed_at=sa.func.clock_timestamp())
        .returning(routes.c.version)
    )
    return result.one_or_none() is not None


def read(connection: sa.Connection) -> sa.Row[Any]:
    """The row."""
    _ensure(connection)
    return connection.execute(sa.select(routes)).one()


def paused(connection: sa.Connection) -> bool:
    """Whether somebody paused the loop: nothing new begins, what runs goes on."""
    return bool(connection.execute(sa.select(routes.c.paused)).scalar_one_or_none())


def set_paused(connection: sa.Connection, value: bool) -> None:
    """Pause the loop, or let it go on."""
    _ensure(connection)
    connection.execute(sa.update(routes).values(paused=value))


def _ensure(connection: sa.Connection) -> None:
    connection.execute(insert(routes).values(only=True, version=0).on_conflict_do_nothing())


def _champion(connection: sa.Connection) -> dict[str, Any]:
    """The champion stays in the row while its engine is away: nobody else may answer for it."""
    row = connection.execute(
        sa.select(releases.c.release, engine_slots.c.url)
        .outerjoin(engine_slots, engine_slots.c.release == releases.c.release)
        .where(releases.c.state == State.CHAMPION)
    ).one_or_none()
    release = None if row is None else row.release
    return {
        "champion": release,
        "champion_url": None if row is None else row.url,
        "champion_model": release,
    }


def _trial(connection: sa.Connection, stage: State, share: float) -> dict[str, Any]:
    """The canary or shadow. A shadow that has its verdict mirrors no longer, and one with enough
    copies for its next look not until that was taken: every copy costs what a call costs.
    """
    statement = (
        sa.select(releases.c.release, engine_slots.c.url)
        .join(engine_slots, engine_slots.c.release == releases.c.release)
        .join(trials, sa.and_(trials.c.release == releases.c.release, trials.c.stage == stage))
        .where(releases.c.state == stage, engine_slots.c.ready)
    )
    if stage is State.SHADOW:
        statement = statement.where(trials.c.ended_at.is_(None), _mirrored < _ENOUGH * _next_look)
    row = connection.execute(statement.limit(1)).one_or_none()
    found = row is not None
    return {
        f"{stage}": row.release if row is not None else None,
        f"{stage}_url": row.url if row is not None else None,
        f"{stage}_model": row.release if row is not None else None,
        f"{stage}_share": share if found else None,
    }
