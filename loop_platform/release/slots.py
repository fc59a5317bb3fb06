"""Which engine slot serves which release: the champion, and one beside it.

The one beside it is, in this order: the release that a waiting promotion or rollback needs, the
champion of a moment ago, which finishes what it is answering, the candidate in trial, the retired
champion that stays hot for a rollback.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import engine_slots, releases
from loop_platform.release import registry, requests, routes
from loop_platform.release.registry import Release
from loop_platform.release.states import IN_TRIAL, State

SLOTS = ("a", "b")

_FURTHEST_FIRST = (State.CANARY, State.SHADOW, State.EVALUATED, State.REGISTERED)


@dataclass(frozen=True)
class Slot:
    """One engine: where it listens, what it should serve, and whether it does."""

    slot: str
    url: str
    release: str | None
    ready: bool
    since: datetime
    """Since when it is ready, or is expected to be."""


def read(connection: sa.Connection) -> dict[str, Slot]:
    """The slots by name."""
    rows = connection.execute(sa.select(engine_slots).order_by(engine_slots.c.slot))
    return {row.slot: Slot(**row._mapping) for row in rows}


def serving(connection: sa.Connection, release: str) -> Slot | None:
    """The slot that serves this release, ready or not."""
    found = (slot for slot in read(connection).values() if slot.release == release)
    return next(found, None)


def plan(
    current: Mapping[str, str | None],
    *,
    champion: str | None,
    second: str | None,
    keep: Collection[str],
) -> dict[str, str | None]:
    """Release by slot: nobody moves who has a slot already; `keep` stay while nobody needs it."""
    needed = [name for name in (champion, second) if name is not None]
    target = {
        slot: name if name in needed or name in keep else None for slot, name in current.items()
    }
    for name in needed:
        if name not in target.values():
            empty = [slot for slot, held in target.items() if held is None]
            spare = [slot for slot, held in target.items() if held not in needed]
            target[(empty or spare)[0]] = name
    return target


def assign(connection: sa.Connection, urls: Mapping[str, str], drain_s: float) -> None:
    """Bring the table in line with what the states need; a slot that changes is not ready."""
    current = read(connection)
    champion = registry.champion(connection)
    target = plan(
        {slot: current[slot].release if slot in current else None for slot in urls},
        champion=champion.release if champion is not None else None,
        second=_second(connection, current, drain_s),
        keep={release.release for release in registry.in_states(connection, {State.RETIRED})},
    )
    for slot, url in urls.items():
        known = current.get(slot)
        if known is None or (known.release, known.url) != (target[slot], url):
            _put(connection, slot, url, target[slot])


def set_ready(connection: sa.Connection, slot: str, release: str | None, ready: bool) -> None:
    """Note whether the engine serves what it should; of another release it says nothing."""
    connection.execute(
        sa.update(engine_slots)
        .where(
            engine_slots.c.slot == slot,
            engine_slots.c.release == release,
            engine_slots.c.ready != ready,
        )
        .values(ready=ready, since=sa.func.clock_timestamp())
    )


def _second(connection: sa.Connection, current: Mapping[str, Slot], drain_s: float) -> str | None:
    urgent = awaited(connection)
    if urgent is not None:
        return urgent.release
    placed = {slot.release for slot in current.values() if slot.release is not None}
    drained = _draining(connection, placed, drain_s)
    if drained is not None:
        return drained
    waiting = registry.in_states(connection, IN_TRIAL)
    if routes.paused(connection):
        waiting = [release for release in waiting if release.release in placed]
    waiting.sort(key=lambda release: _FURTHEST_FIRST.index(release.state))
    return waiting[0].release if waiting else None


def _draining(connection: sa.Connection, placed: Collection[str], drain_s: float) -> str | None:
    """The champion of before, for as long as calls may be on their way to it."""
    recently = sa.func.clock_timestamp() - timedelta(seconds=drain_s)
    query = (
        sa.select(releases.c.release)
        .where(
            releases.c.release.in_(placed),
            releases.c.state.in_((State.RETIRED, State.ROLLED_BACK)),
            releases.c.state_since > recently,
        )
        .order_by(releases.c.state_since.desc())
        .limit(1)
    )
    return connection.scalar(query)


def awaited(connection: sa.Connection) -> Release | None:
    """The release that a waiting promotion or rollback needs an engine for."""
    for request in requests.pending(connection):
        if request.to_state is State.ROLLED_BACK:
            return registry.rollback_target(connection)
        if request.to_state is State.CHAMPION:
            release = registry.find(connection, request.release)
            if release.state in (State.RETIRED, State.ROLLED_BACK):
                return release
    return None


def _put(connection: sa.Connection, slot: str, url: str, release: str | None) -> None:
    values = {"url": url, "release": release, "ready": False, "since": sa.func.clock_timestamp()}
    connection.execute(
        insert(engine_slots)
        .values(slot=slot, **values)
        .on_conflict_do_update(index_elements=["slot"], set_=values)
    )
