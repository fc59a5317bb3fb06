"""`GET /metrics`, for Prometheus. An admin's key is needed: the tasks of all tenants are named.

The sums come from the database, the same whichever worker answers. How far the journal is behind is
read from its folder, which a machine's workers share. While the database is away, that and
`loop_database_up 0` are all that is shown: old sums beside new ones would look like a restart.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from loop_platform.database import segment_hours, segments
from loop_platform.gateway.incoming import authorised, headers_of
from loop_platform.gateway.parts import Parts
from loop_platform.identity import milliseconds_of
from loop_platform.observer.measures import BEYOND, MEASURES, SECONDS, Measure
from loop_platform.observer.sums import LE, labels_of, read

_BOUNDS = [*map(str, SECONDS), BEYOND]


class Metrics:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def show(self, request: Request) -> Response:
        await authorised(headers_of(request.scope), self._parts.keys, "admin")
        families = await asyncio.to_thread(lambda: list(self._families()))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Found(families))
        return Response(encode(registry), media_type=content_type)

    def _families(self) -> Iterator[Metric]:
        yield from _journal(self._parts)
        try:
            with self._parts.database.connect() as connection:
                sums, lags = read(connection), list(_lags(connection))
        except sa.exc.SQLAlchemyError:
            yield _gauge("loop_database_up", "Whether the database answers", 0)
            return
        yield _gauge("loop_database_up", "Whether the database answers", 1)
        yield from lags
        for measure in MEASURES:
            yield _family(measure, sums)


class _Found:
    """A collector of what was found already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _family(measure: Measure, sums: dict[str, dict[str, float]]) -> Metric:
    if measure.kind == "histogram":
        return _histogram(measure, sums)
    family = CounterMetricFamily(measure.name, measure.documentation, labels=measure.labels)
    for text, value in sums.get(measure.name, {}).items():
        labels = labels_of(text)
        family.add_metric([labels[name] for name in measure.labels], value)
    return family


def _histogram(measure: Measure, sums: dict[str, dict[str, float]]) -> Metric:
    family = HistogramMetricFamily(measure.name, measure.documentation, labels=measure.labels)
    fell: dict[tuple[str, ...], dict[str, float]] = {}
    for text, value in sums.get(f"{measure.name}_bucket", {}).items():
        labels = labels_of(text)
        own = tuple(labels[name] for name in measure.labels)
        fell.setdefault(own, {})[labels[LE]] = value
    for text, total in sums.get(f"{measure.name}_sum", {}).items():
        labels = labels_of(text)
        own = tuple(labels[name] for name in measure.labels)
        family.add_metric(own, _cumulated(fell.get(own, {})), total)
    return family


def _cumulated(fell: dict[str, float]) -> list[tuple[str, float]]:
    buckets, so_far = [], 0.0
    for bound in _BOUNDS:
        so_far += fell.get(bound, 0.0)
        buckets.append((bound, so_far))
    return buckets


def _journal(parts: Parts) -> Iterator[Metric]:
    """What is journalled and not in the lake yet. A file is named by an id, and so by its time."""
    waiting, size, oldest = 0, 0, None
    for path in parts.journal.folder.glob("*.jsonl"):
        try:
            size += path.stat().st_size
            at = milliseconds_of(path.name.partition(".")[0]) / 1000
        except (FileNotFoundError, ValueError):  # shipped under our eyes; none of ours
            continue
        waiting += 1
        oldest = at if oldest is None else min(oldest, at)
    lag = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    yield _gauge("loop_journal_waiting_segments", "Journal files not in the lake yet", waiting)
    yield _gauge("loop_journal_waiting_bytes", "Bytes of the journal not in the lake yet", size)
    yield _gauge("loop_journal_lag_seconds", "Age of the oldest file not in the lake yet", lag)


def _lags(connection: sa.Connection) -> Iterator[Metric]:
    """How old the oldest segment is that a stage has not taken up."""
    unsettled = sa.select(segment_hours.c.segment_id).where(~segment_hours.c.settled)
    for name, documentation, behind in (
        ("loop_telemetry_lag_seconds", "telemetry", segments.c.segment_id.in_(unsettled)),
        ("loop_observer_lag_seconds", "these counts", ~segments.c.counted),
        ("loop_export_lag_seconds", "the export of spans", ~segments.c.exported),
    ):
        age = sa.func.extract(
            "epoch", sa.func.clock_timestamp() - sa.func.min(segments.c.sealed_at)
        )
        lag = connection.scalar(sa.select(age).where(behind))
        yield _gauge(name, f"How far {documentation} is behind the journal", float(lag or 0))


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value)
