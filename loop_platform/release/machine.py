"""The one place where the state of a release changes, with its line in the audit log.

Everything here runs inside the transaction of the caller, the controller: a state, its audit row
and the route that follows from it change together or not at all.
"""

import sqlalchemy as sa

from loop_platform.database import cycles, releases, trials
from loop_platform.database import moves as moves_table
from loop_platform.release import registry
from loop_platform.release.registry import Evidence
from loop_platform.release.states import SETTLED, RefusedError, State, check_move


def move(
    connection: sa.Connection,
    release: str,
    to_state: State,
    *,
    actor: str,
    reason: str,
    evidence: Evidence,
) -> None:
    """Move a release, or refuse.

    Raises:
        RefusedError: the state machine has no such move.
        UnknownReleaseError: there is no such release.
    """
    current = _locked(connection, release)
    check_move(release, current.state, to_state, drill=current.drill)
    _write(connection, current, to_state, actor=actor, reason=reason, evidence=evidence)


def install_first(connection: sa.Connection, release: str, *, actor: str, reason: str) -> None:
    """Make the base model the champion of a loop that never had one.

    Raises:
        RefusedError: there was a champion before.
    """
    current = _locked(connection, release)
    if any(past.to_state is State.CHAMPION for past in registry.moves(connection)):
        raise RefusedError(f"release {release!r} is not the first champion of this loop")
    _write(connection, current, State.CHAMPION, actor=actor, reason=reason, evidence={})


def _locked(connection: sa.Connection, release: str) -> registry.Release:
    connection.execute(
        sa.select(releases.c.release).where(releases.c.release == release).with_for_update()
    )
    return registry.find(connection, release)


def _write(
    connection: sa.Connection,
    current: registry.Release,
    to_state: State,
    *,
    actor: str,
    reason: str,
    evidence: Evidence,
) -> None:
    now = sa.func.clock_timestamp()
    connection.execute(
        sa.update(releases)
        .where(releases.c.release == current.release)
        .values(state=to_state, state_since=now)
    )
    connection.execute(
        sa.insert(moves_table).values(
            release=current.release,
            from_state=current.state,
            to_state=to_state,
            actor=actor,
            reason=reason,
            evidence=dict(evidence),
        )
    )
    connection.execute(
        sa.update(trials)
        .where(trials.c.release == current.release, trials.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    if to_state in SETTLED and current.cycle is not None:
        connection.execute(
            sa.update(cycles)
            .where(cycles.c.cycle == current.cycle, cycles.c.closed_at.is_(None))
            .values(closed_at=now)
        )
