"""The pairs of a shadow: what the champion answered, and what the candidate would have."""

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.identity import first_id
from loop_platform.lake import Lake
from loop_platform.release.trials import Trial


def pairs(connection: sa.Connection, lake: Lake, trial: Trial) -> pl.LazyFrame:
    """Every pair since the trial began, in the order in which the calls came.

    A pair counts when the champion's answer arrived whole; what became of the candidate's is the
    question, so a failed one is a pair too.
    """
    since = first_id(int(trial.started_at.timestamp() * 1000))
    champion = (
        manifest.calls(connection, lake, since=since, release=trial.champion, route="champion")
        .filter(pl.col("status") == 200, pl.col("complete"))
        .select(
            "tenant",
            "task",
            "request",
            "messages",
            pair_id="call_id",
            champion_answer=pl.col("answer"),
            champion_tokens=pl.col("completion_tokens"),
        )
    )
    candidate = manifest.calls(
        connection, lake, since=since, release=trial.release, route="shadow"
    ).select(
        "pair_id",
        "latency_ms",
        candidate_answer="answer",
        candidate_tokens="completion_tokens",
        failed=(pl.col("status") != 200) | ~pl.col("complete"),
    )
    return champion.join(candidate, on="pair_id", how="inner").sort("pair_id")


def count(connection: sa.Connection, lake: Lake, trial: Trial) -> int:
    """How many pairs arrived so far."""
    return int(pairs(connection, lake, trial).select(pl.len()).collect().item())
