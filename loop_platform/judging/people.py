"""What people said of mirrored pairs, blind: which answer was better, and that alone.

Which answer is on the left is thrown by a coin when a person is first shown a pair, and kept: the
page loaded again looks the same, and what `left` meant can be told for ever. A pair that is shown
is nobody else's for a while.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import pair_verdicts

Side = Literal["champion", "candidate"]
Said = Literal["left", "right", "tie", "both bad", "skip"]
SAID: tuple[Said, ...] = get_args(Said)

_GIVING_LOCK = 7_300_002
_NOW = sa.func.clock_timestamp()
_VALUES = {"candidate": 1, "champion": -1, "tie": 0, "both bad": 0}


class UnknownPairError(LookupError):
    """A pair that this person was not shown."""


class SaidError(RuntimeError):
    """A pair of which this person has spoken."""


@dataclass(frozen=True)
class PersonsVerdict:
    """What one person said of one pair."""

    pair_id: str
    person: str
    release: str
    verdict: str
    """champion, candidate, tie or both bad."""
    decided_at: datetime


def one_at_a_time(connection: sa.Connection) -> None:
    """Waits until no other transaction gives a pair to somebody."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_GIVING_LOCK)))


def show(connection: sa.Connection, person: str, release: str, task: str, pair_id: str) -> Side:
    """Gives a person a pair, and says which answer goes on the left."""
    shown = insert(pair_verdicts).values(
        pair_id=pair_id,
        person=person,
        release=release,
        task=task,
        left_side=secrets.choice(get_args(Side)),
    )
    again = shown.on_conflict_do_update(
        index_elements=["pair_id", "person"], set_={"shown_at": _NOW}
    )
    return cast(Side, connection.execute(again.returning(pair_verdicts.c.left_side)).scalar_one())


def say(connection: sa.Connection, person: str, pair_id: str, said: Said) -> None:
    """Records what a person says of a pair that they were shown.

    Raises:
        UnknownPairError: they were not.
        SaidError: they have said something of it already.
    """
    here = sa.and_(pair_verdicts.c.pair_id == pair_id, pair_verdicts.c.person == person)
    row = connection.execute(sa.select(pair_verdicts).where(here).with_for_update()).one_or_none()
    if row is None:
        raise UnknownPairError(f"you were not shown a pair {pair_id!r}")
    if row.verdict is not None:
        raise SaidError(f"you have said of pair {pair_id!r}: {row.verdict}")
    right = "candidate" if row.left_side == "champion" else "champion"
    verdict = {"left": row.left_side, "right": right}.get(said, said)
    connection.execute(
        sa.update(pair_verdicts).where(here).values(verdict=verdict, decided_at=_NOW)
    )


def verdicts(connection: sa.Connection, release: str) -> dict[str, float]:
    """Of each pair what most people said: 1 for the candidate, -1 for the champion, else 0."""
    query = sa.select(pair_verdicts.c.pair_id, pair_verdicts.c.verdict).where(
        pair_verdicts.c.release == release, pair_verdicts.c.verdict.in_(_VALUES)
    )
    sums: dict[str, int] = {}
    for pair_id, verdict in connection.execute(query):
        sums[pair_id] = sums.get(pair_id, 0) + _VALUES[verdict]
    return {pair_id: float((total > 0) - (total < 0)) for pair_id, total in sums.items()}


def count(connection: sa.Connection, release: str) -> int:
    """Pairs of a release that people spoke of."""
    return len(verdicts(connection, release))


def said_today(connection: sa.Connection, person: str) -> int:
    """Verdicts of a person since midnight, by the database's clock."""
    query = sa.select(sa.func.count()).where(
        pair_verdicts.c.person == person,
        pair_verdicts.c.verdict.in_(_VALUES),
        pair_verdicts.c.decided_at >= sa.func.date_trunc("day", _NOW),
    )
    return connection.execute(query).scalar_one()


def taken(connection: sa.Connection, release: str, person: str, lease_s: float) -> set[str]:
    """The pairs that this person is not to be shown: spoken of by anybody, skipped by them, or with
    another person now."""
    table = pair_verdicts.c
    lease = sa.cast(f"{lease_s} seconds", sa.Interval)
    query = sa.select(table.pair_id).where(
        table.release == release,
        sa.or_(
            table.verdict.in_(_VALUES),
            sa.and_(table.person == person, table.verdict == "skip"),
            sa.and_(table.person != person, table.verdict.is_(None), table.shown_at > _NOW - lease),
        ),
    )
    return set(connection.scalars(query))


def held(connection: sa.Connection, release: str, person: str) -> str | None:
    """The pair that this person was shown last and has not spoken of."""
    query = (
        sa.select(pair_verdicts.c.pair_id)
        .where(
            pair_verdicts.c.release == release,
            pair_verdicts.c.person == person,
            pair_verdicts.c.verdict.is_(None),
        )
        .order_by(pair_verdicts.c.shown_at.desc())
        .limit(1)
    )
    return connection.scalar(query)


def latest(connection: sa.Connection, task: str, limit: int) -> list[PersonsVerdict]:
    """The latest verdicts of people on a task, of all releases."""
    table = pair_verdicts.c
    query = (
        sa.select(table.pair_id, table.person, table.release, table.verdict, table.decided_at)
        .where(table.task == task, table.verdict.in_(_VALUES))
        .order_by(table.decided_at.desc(), table.pair_id, table.person)
        .limit(limit)
    )
    return [PersonsVerdict(*row) for row in connection.execute(query)]
