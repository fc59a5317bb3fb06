"""The adapters that learned from something: what erasing it cannot take out of their weights."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from loop_platform.database import releases


@dataclass(frozen=True)
class Learner:
    """A release whose weights were trained on it, itself or by way of its parent."""

    release: str
    adapter: str | None
    cycle: str | None
    state: str
    how: str


def learners(
    connection: sa.Connection,
    corrected_in: Collection[str],
    rated_in: Collection[str],
    replayed_in: Collection[str],
) -> list[Learner]:
    """The releases of the cycles that trained on corrections, rated answers or kept answers of the
    subject, and all that were trained on top of them, oldest first."""
    found: dict[str, Learner] = {}
    query = sa.select(releases).order_by(releases.c.created_at, releases.c.release)
    for row in connection.execute(query):
        if row.cycle in corrected_in:
            found[row.release] = _learner(row, "trained on a correction of it")
        elif row.cycle in rated_in:
            found[row.release] = _learner(row, "trained on an answer of it that was rated")
        elif row.cycle in replayed_in:
            found[row.release] = _learner(row, "trained to keep an answer of it")
        elif row.parent in found:
            found[row.release] = _learner(row, f"trained on top of {row.parent}")
    return list(found.values())


def _learner(row: sa.Row[Any], how: str) -> Learner:
    return Learner(row.release, row.adapter, row.cycle, row.state, how)
