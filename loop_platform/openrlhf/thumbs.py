"""Answers that people liked or did not, of which nobody wrote what they should have been.

Nothing that any cycle holds out, or nearly, and nothing of which people thought both.
"""

import json
from collections.abc import Collection

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.defs.review.candidates import last_user_message
from loop_platform.defs.training.replay import BLAME, held_out, said_of
from loop_platform.lake import Lake
from loop_platform.openrlhf.rows import NotTextError, Thumb, conversation

_PRAISE = pl.col("outcome") | (pl.col("rating") > 3)


def thumbs(
    connection: sa.Connection, lake: Lake, *, tenants: Collection[str], corrected: Collection[str]
) -> list[Thumb]:
    """By call, oldest first; `corrected` are the calls of which a correction is exported."""
    liked, disliked = (set(said_of(connection, lake, what)) for what in (_PRAISE, BLAME))
    told = (liked ^ disliked) - set(corrected)
    calls = (
        manifest.calls(connection, lake)
        .filter(
            pl.col("call_id").is_in(sorted(told)),
            pl.col("route") != "shadow",
            pl.col("complete"),
            pl.col("status") == 200,
            pl.col("messages").is_not_null(),
            pl.col("answer").str.strip_chars() != "",
            pl.col("tenant").is_in(sorted(tenants)),
        )
        .select("call_id", "messages", "answer")
        .unique("call_id", keep="first")
        .sort("call_id")
        .collect()
    )
    tested = held_out(connection)
    found = []
    for call_id, text, answer in calls.iter_rows():
        messages = json.loads(text)
        if tested.near(last_user_message(messages)):
            continue
        try:
            prompt = conversation(messages)
        except NotTextError:
            continue
        found.append(Thumb(prompt, answer, good=call_id in liked))
    return found
