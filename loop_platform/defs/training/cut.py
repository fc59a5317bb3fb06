"""Answers that a token limit cut: where they break off, nothing ended."""

from collections.abc import Collection

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.identity import hour_of
from loop_platform.lake import Lake


def cut(connection: sa.Connection, lake: Lake, call_ids: Collection[str]) -> frozenset[str]:
    """Which of these calls' answers were."""
    hours = {hour_of(call_id) for call_id in call_ids}
    found = (
        manifest.calls(connection, lake, hours=hours)
        .filter(pl.col("call_id").is_in(sorted(call_ids)), pl.col("finish_reason") == "length")
        .select("call_id")
        .collect()
    )
    return frozenset(found["call_id"])
