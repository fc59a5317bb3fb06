"""Sums in the database: added to in transactions, so that each thing counts once."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import metric_sums
from loop_platform.observer.measures import BEYOND, SECONDS, Measure

LE = "le"


class Sums:
    """What is to be added. A histogram is a sum for each bucket, of what fell into that bucket and
    not into a lower one, and a sum of what was observed."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], float] = defaultdict(float)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, measure: Measure, value: float = 1.0, /, **labels: object) -> None:
        if value:
            self._values[measure.name, _text(measure, labels)] += value

    def observe(self, measure: Measure, seconds: float, /, **labels: object) -> None:
        place = bisect_left(SECONDS, seconds)
        bound = str(SECONDS[place]) if place < len(SECONDS) else BEYOND
        own = _text(measure, labels)
        self._values[f"{measure.name}_bucket", _with_bound(own, bound)] += 1
        self._values[f"{measure.name}_sum", own] += seconds

    def write(self, connection: sa.Connection) -> None:
        """In one order for all, so that none waits for another's row in a circle."""
        if not self._values:
            return
        rows = [
            {"name": name, "labels": labels, "value": value}
            for (name, labels), value in sorted(self._values.items())
        ]
        statement = insert(metric_sums).values(rows)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name", "labels"],
                set_={"value": metric_sums.c.value + statement.excluded.value},
            )
        )


def read(connection: sa.Connection) -> dict[str, dict[str, float]]:
    """The values by name and, as text, labels."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in connection.execute(sa.select(metric_sums).order_by(*metric_sums.primary_key)):
        found[row.name][row.labels] = row.value
    return found


def labels_of(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])


def _text(measure: Measure, labels: Mapping[str, object]) -> str:
    if set(labels) != set(measure.labels):
        raise ValueError(f"{measure.name} has the labels {measure.labels}, not {tuple(labels)}")
    return msgspec.json.encode({name: str(labels[name]) for name in measure.labels}).decode()


def _with_bound(text: str, bound: str) -> str:
    return msgspec.json.encode({**labels_of(text), LE: bound}).decode()
