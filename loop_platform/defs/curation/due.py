"""When a cycle opens, and when one that got nowhere is given up."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from loop_platform.database import cycles, decisions, drift_verdicts, releases, routes
from loop_platform.defs.curation.accepted import counts
from loop_platform.defs.curation.shares import usable
from loop_platform.settings import CurationSettings


@dataclass(frozen=True)
class Due:
    """Whether there is reason to open a cycle, in a sentence either way."""

    is_due: bool
    reason: str


def paused(connection: sa.Connection) -> bool:
    return bool(connection.scalar(sa.select(routes.c.paused)))


def open_cycle(connection: sa.Connection) -> str | None:
    """The cycle that is going on: there is at most one."""
    return connection.scalar(
        sa.select(cycles.c.cycle).where(cycles.c.closed_at.is_(None)).order_by(cycles.c.opened_at)
    )


def in_training(connection: sa.Connection, timeout_s: float) -> str | None:
    """An open cycle that has no release yet, for as long as training may take."""
    registered = sa.exists().where(releases.c.cycle == cycles.c.cycle)
    started = sa.func.clock_timestamp() - timedelta(seconds=timeout_s)
    query = sa.select(sa.func.min(cycles.c.cycle)).where(
        cycles.c.closed_at.is_(None), cycles.c.opened_at > started, ~registered
    )
    cycle: str | None = connection.scalar(query)
    return cycle


def has_release(connection: sa.Connection, cycle: str) -> bool:
    return bool(connection.scalar(sa.select(sa.exists().where(releases.c.cycle == cycle))))


def improvement_due(connection: sa.Connection, settings: CurationSettings) -> Due:
    """Enough corrections wait; half of that is enough once a task drifted."""
    waiting = counts(connection)
    enough = usable(waiting, settings.max_contributor_share)
    said = f"{sum(waiting.values())} accepted corrections wait, {enough} of them within the share"
    said += f" of {settings.max_contributor_share:.0%} a contributor may have"
    drifted = _drifted(connection)
    needed = settings.min_corrections // 2 if drifted else settings.min_corrections
    if drifted:
        said += f"; {', '.join(drifted)} drifted"
    since_failure = _accepted_since_failure(connection)
    if since_failure is not None and since_failure < needed / 2:
        return Due(False, f"{said}; only {since_failure} of them came after a cycle was given up")
    return Due(enough >= max(needed, 1), f"{said}; {needed} open a cycle")


def drill_due(connection: sa.Connection) -> str | None:
    """The latest improvement cycle, when it came to a release, is over and had no drill."""
    drilled = cycles.alias()
    latest = connection.execute(
        sa.select(cycles.c.cycle, cycles.c.closed_at)
        .where(cycles.c.kind == "improvement")
        .order_by(cycles.c.opened_at.desc())
        .limit(1)
    ).one_or_none()
    if latest is None or latest.closed_at is None or not has_release(connection, latest.cycle):
        return None
    of_it = sa.exists().where(drilled.c.drill_of == latest.cycle, drilled.c.kind == "drill")
    seen = connection.scalar(sa.select(of_it))
    return None if seen else latest.cycle


def open_improvement(connection: sa.Connection, reason: str) -> str:
    """Opens the next cycle; returns its name, `0001` and so on."""
    query = sa.select(sa.func.count()).where(cycles.c.kind == "improvement")
    cycle = f"{1 + (connection.scalar(query) or 0):04d}"
    values = {"cycle": cycle, "kind": "improvement", "reason": reason}
    connection.execute(sa.insert(cycles).values(values))
    return cycle


def open_drill(connection: sa.Connection, drilled: str) -> str:
    """Opens the drill of a cycle: the same rows, trained so that the gates should refuse."""
    cycle = f"{drilled}-drill"
    reason = f"a drill of the gates on the rows of cycle {drilled}"
    values = {"cycle": cycle, "kind": "drill", "drill_of": drilled, "reason": reason}
    connection.execute(sa.insert(cycles).values(values))
    return cycle


def give_up(connection: sa.Connection, cycle: str, attempts: int) -> None:
    """Closes a cycle without a release; its corrections are free again."""
    note = f"; given up after {attempts} runs without a release"
    connection.execute(
        sa.update(cycles)
        .where(cycles.c.cycle == cycle)
        .values(closed_at=sa.func.clock_timestamp(), reason=cycles.c.reason + note)
    )


def _drifted(connection: sa.Connection) -> list[str]:
    """Tasks with an alarm since the last improvement cycle opened."""
    last = (
        sa.select(sa.func.max(cycles.c.opened_at))
        .where(cycles.c.kind == "improvement")
        .scalar_subquery()
    )
    query = sa.select(drift_verdicts.c.task.distinct()).where(
        drift_verdicts.c.drifted,
        drift_verdicts.c.reported_at > sa.func.coalesce(last, sa.text("'-infinity'::timestamptz")),
    )
    return sorted(connection.scalars(query))


def _accepted_since_failure(connection: sa.Connection) -> int | None:
    """How many were accepted since the last improvement cycle closed, if that was given up."""
    last = connection.execute(
        sa.select(cycles.c.cycle, cycles.c.closed_at)
        .where(cycles.c.kind == "improvement", cycles.c.closed_at.is_not(None))
        .order_by(cycles.c.closed_at.desc())
        .limit(1)
    ).one_or_none()
    if last is None or has_release(connection, last.cycle):
        return None
    query = sa.select(sa.func.count()).where(
        decisions.c.verdict.in_(["accept", "correct"]), decisions.c.decided_at > last.closed_at
    )
    return connection.scalar(query) or 0
