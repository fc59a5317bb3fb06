"""The releases: what was registered, in which state it is, and how it came there.

Registering is the one insert; from then on a state moves by the controller alone
(loop_platform/release/machine.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import moves as moves_table
from loop_platform.database import releases
from loop_platform.release.files import hashes
from loop_platform.release.states import State

Evidence = Mapping[str, Any]


class UnknownReleaseError(LookupError):
    """A release that nobody registered."""

    def __init__(self, release: str) -> None:
        super().__init__(f"there is no release {release!r}; `loop release list` shows them")


@dataclass(frozen=True)
class Release:
    """One registered set of weights on its way to production, or there, or turned away."""

    release: str
    cycle: str | None
    parent: str | None
    adapter: str | None
    adapter_path: Path | None
    weights_path: Path
    drill: bool
    state: State
    record: Evidence
    created_at: datetime
    state_since: datetime


@dataclass(frozen=True)
class Move:
    """A line of the audit log."""

    move_id: int
    release: str
    from_state: State | None
    to_state: State
    actor: str
    reason: str
    evidence: Evidence
    moved_at: datetime


def register(
    connection: sa.Connection,
    *,
    cycle: str | None,
    parent: str | None,
    adapter: str,
    adapter_path: Path,
    weights_path: Path,
    drill: bool,
    record: Evidence,
    actor: str = "training",
) -> str:
    """Register an adapter; returns the release's name, `r-` and 12 digits of its hash.

    The same adapter of the same cycle again is the same release, in whatever state it is now. What
    its files are is written down with it: a promotion compares.

    Raises:
        OSError: a file of it cannot be read.
        ValueError: another cycle registered this very adapter.
    """
    name = f"r-{adapter[:12]}"
    fields = {
        "release": name,
        "cycle": cycle,
        "parent": parent,
        "adapter": adapter,
        "adapter_path": str(adapter_path),
        "weights_path": str(weights_path),
        "drill": drill,
        "record": dict(record),
    }
    sealed = {"files": hashes(adapter_path, weights_path)}
    if not _insert(connection, fields, actor, f"registered by cycle {cycle}", sealed):
        known = find(connection, name)
        if (known.adapter, known.cycle, known.drill) != (adapter, cycle, drill):
            raise ValueError(
                f"adapter {adapter!r} of cycle {cycle!r} is already release {name!r} of cycle"
                f" {known.cycle!r}: training gave the same weights twice"
            )
    return name


def register_base(
    connection: sa.Connection, *, weights: str, weights_path: Path, record: Evidence, actor: str
) -> str:
    """Register the bare base model by the hash of its weights, as `base-` and 12 digits of it."""
    name = f"base-{weights[:12]}"
    fields = {
        "release": name,
        "weights_path": str(weights_path),
        "drill": False,
        "record": dict(record),
    }
    _insert(connection, fields, actor, "the base model", {})
    return name


def find(connection: sa.Connection, release: str) -> Release:
    """The release of this name.

    Raises:
        UnknownReleaseError: there is none.
    """
    row = connection.execute(sa.select(releases).where(releases.c.release == release)).one_or_none()
    if row is None:
        raise UnknownReleaseError(release)
    return _release(row)


def champion(connection: sa.Connection) -> Release | None:
    """The release that serves; none before the stack's first start."""
    serving = in_states(connection, {State.CHAMPION})
    return serving[0] if serving else None


def by_cycle(connection: sa.Connection, cycle: str) -> Release | None:
    """The latest release that this cycle registered."""
    found = _select(connection, releases.c.cycle == cycle)
    return found[-1] if found else None


def in_states(connection: sa.Connection, states: Collection[State]) -> list[Release]:
    """The releases in any of these states, oldest first."""
    return _select(connection, releases.c.state.in_(states))


def all_releases(connection: sa.Connection) -> list[Release]:
    """Every release, oldest first."""
    return _select(connection, sa.true())


def moves(connection: sa.Connection, release: str | None = None) -> list[Move]:
    """The audit log, of one release or whole, in the order in which it happened."""
    statement = sa.select(moves_table).order_by(moves_table.c.move_id)
    if release is not None:
        statement = statement.where(moves_table.c.release == release)
    return [_move(row) for row in connection.execute(statement)]


def sealed_files(connection: sa.Connection, release: str) -> dict[str, str] | None:
    """The hashes of its files when it was registered; None for the base model, and for what was
    registered before they were written down."""
    evidence = connection.scalar(
        sa.select(moves_table.c.evidence).where(
            moves_table.c.release == release, moves_table.c.from_state.is_(None)
        )
    )
    sealed = (evidence or {}).get("files")
    return None if sealed is None else dict(sealed)


def rollback_target(connection: sa.Connection) -> Release | None:
    """The release that a rollback brings back: the one that retired last."""
    last = sa.func.max(moves_table.c.move_id)
    row = connection.execute(
        sa.select(moves_table.c.release)
        .join(releases, releases.c.release == moves_table.c.release)
        .where(moves_table.c.to_state == State.RETIRED, releases.c.state == State.RETIRED)
        .group_by(moves_table.c.release)
        .order_by(last.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else find(connection, row.release)


def _insert(
    connection: sa.Connection,
    fields: Mapping[str, Any],
    actor: str,
    reason: str,
    evidence: Evidence,
) -> bool:
    inserted = connection.execute(
        insert(releases)
        .values(**fields, state=State.REGISTERED)
        .on_conflict_do_nothing(index_elements=["release"])
        .returning(releases.c.release)
    ).one_or_none()
    if inserted is None:
        return False
    connection.execute(
        sa.insert(moves_table).values(
            release=fields["release"],
            from_state=None,
            to_state=State.REGISTERED,
            actor=actor,
            reason=reason,
            evidence={
                "parent": fields.get("parent"),
                "adapter": fields.get("adapter"),
                **evidence,
            },
        )
    )
    return True


def _select(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Release]:
    statement = (
        sa.select(releases).where(condition).order_by(releases.c.created_at, releases.c.release)
    )
    return [_release(row) for row in connection.execute(statement)]


def _release(row: sa.Row[Any]) -> Release:
    return Release(
        release=row.release,
        cycle=row.cycle,
        parent=row.parent,
        adapter=row.adapter,
        adapter_path=None if row.adapter_path is None else Path(row.adapter_path),
        weights_path=Path(row.weights_path),
        drill=row.drill,
        state=State(row.state),
        record=row.record,
        created_at=row.created_at,
        state_since=row.state_since,
    )


def _move(row: sa.Row[Any]) -> Move:
    return Move(
        move_id=row.move_id,
        release=row.release,
        from_state=None if row.from_state is None else State(row.from_state),
        to_state=State(row.to_state),
        actor=row.actor,
        reason=row.reason,
        evidence=row.evidence,
        moved_at=row.moved_at,
    )
