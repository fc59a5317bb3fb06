"""What people labelled, and what nobody therefore deletes by age: calls with feedback, calls in the
review queue, and so every member of a dataset, which came through the queue.
"""

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import review_items
from loop_platform.lake import Lake
from loop_platform.records import Feedback
from loop_platform.retention.waiting import waiting_contents


def labelled(connection: sa.Connection, lake: Lake, first: str, last: str) -> set[str]:
    """The labelled calls with `first` <= id <= `last`."""
    return {
        *_in_review(connection, first, last),
        *_with_feedback(connection, lake, first, last),
        *_with_feedback_on_its_way(connection, lake),
    }


def _in_review(connection: sa.Connection, first: str, last: str) -> set[str]:
    call_id = sa.collate(review_items.c.call_id, "C")
    query = sa.select(review_items.c.call_id).where(call_id >= first, call_id <= last)
    return {found for found in connection.scalars(query) if found is not None}


def _with_feedback(connection: sa.Connection, lake: Lake, first: str, last: str) -> set[str]:
    said = manifest.rows(connection, lake, "telemetry/feedback", since=first)
    of = pl.col("call_id")
    return set(said.filter(of.is_between(pl.lit(first), pl.lit(last))).collect()["call_id"])


def _with_feedback_on_its_way(connection: sa.Connection, lake: Lake) -> set[str]:
    """In segments that telemetry has not taken up."""
    return {
        said.call_id
        for content in waiting_contents(connection, lake)
        for hour in content.feedback.values()
        for said in hour
        if isinstance(said, Feedback)
    }
