"""Converts the pending segments of an hour into parts of one asset, once each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform import manifest
from loop_platform.database import call_counts, segment_hours
from loop_platform.defs.telemetry.parts import HeldHour
from loop_platform.defs.telemetry.segment import Aside, Content, read_segment
from loop_platform.lake import Lake

CORRUPT = "telemetry/corrupt"


@dataclass
class Tally:
    """What a conversion saw and did."""

    segments: int = 0
    converted_before: int = 0
    forgotten: int = 0
    rows: int = 0
    duplicates: int = 0
    aside: int = 0
    merged_files: int = 0


@dataclass(frozen=True)
class Conversion:
    """An asset's way from segments to parts."""

    asset: str
    rows: Callable[[Content, str, str], pl.DataFrame]
    """The rows that a segment's content holds for an hour."""
    written: Callable[[HeldHour, str, Content, pl.DataFrame], int]
    """What else is to be done with a segment; says how many lines it kept aside."""

    def run(self, hour: HeldHour, *, rebuild: bool = False) -> Tally:
        """Convert what is pending; with `rebuild`, every segment of the hour again."""
        tally = Tally()
        if rebuild:
            tally.forgotten = hour.forget()
        tally.converted_before = len(hour.parts())
        for segment in hour.pending():
            self._convert(hour, segment, tally)
        tally.merged_files = hour.compact()
        return tally

    def _convert(self, hour: HeldHour, segment: manifest.Segment, tally: Tally) -> None:
        content = _content(hour.lake, segment)
        _enter_hours(hour.connection, segment.segment_id, content.hours)
        found = self.rows(content, hour.hour, segment.segment_id)
        fresh = hour.without_known(found)
        aside = self.written(hour, segment.segment_id, content, fresh)
        hour.write_part(segment.segment_id, fresh, aside)
        tally.segments += 1
        tally.rows += fresh.height
        tally.duplicates += found.height - fresh.height
        tally.aside += aside


def count_and_keep_aside(
    hour: HeldHour, segment_id: str, content: Content, calls: pl.DataFrame
) -> int:
    """Of calls: count them for the sensors, and keep the segment's unreadable lines."""
    _count(hour, segment_id, calls)
    return _keep_aside(hour, segment_id, content.aside)


def nothing_more(hour: HeldHour, segment_id: str, content: Content, rows: pl.DataFrame) -> int:
    """Of feedback: the calls keep what neither can read."""
    return 0


def _content(lake: Lake, segment: manifest.Segment) -> Content:
    try:
        return read_segment(lake.read_bytes(segment.path), segment.sha256)
    except FileNotFoundError:
        missing = Aside(0, f"{segment.path} is in the manifest and not in the lake", "")
        return Content(aside=[missing])


def _enter_hours(connection: sa.Connection, segment_id: str, hours: set[str]) -> None:
    """Hours that the gateway did not name are pending from now on."""
    if hours:
        rows = [{"segment_id": segment_id, "hour": hour} for hour in sorted(hours)]
        connection.execute(insert(segment_hours).values(rows).on_conflict_do_nothing())


def _count(hour: HeldHour, segment_id: str, calls: pl.DataFrame) -> None:
    here = (call_counts.c.segment_id == segment_id) & (call_counts.c.hour == hour.hour)
    hour.connection.execute(sa.delete(call_counts).where(here))
    counts = calls.group_by("task", "release", "route").agg(calls=pl.len())
    if counts.height:
        of = {"segment_id": segment_id, "hour": hour.hour}
        hour.connection.execute(insert(call_counts).values([r | of for r in counts.to_dicts()]))


def _keep_aside(hour: HeldHour, segment_id: str, lines: Sequence[Aside]) -> int:
    """Unreadable lines belong to no hour: they count in the first hour of their segment."""
    hours = sa.select(sa.func.min(segment_hours.c.hour))
    first = hour.connection.scalar(hours.where(segment_hours.c.segment_id == segment_id))
    if not lines or hour.hour != first:
        return 0
    kept = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    hour.lake.write_bytes(f"{CORRUPT}/{segment_id}.jsonl", kept)
    return len(lines)
