"""What the canary met, and the champion beside it in the same period: a row a call."""

from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.identity import first_id
from loop_platform.lake import Lake
from loop_platform.records import BAD_RATING
from loop_platform.release.trials import Trial

# A call that the caller hung up on says nothing about the model.
_HUNG_UP = 499


@dataclass(frozen=True)
class Exposure:
    """Both groups of calls, with what people said of them."""

    canary: pl.DataFrame
    champion: pl.DataFrame

    @property
    def rows(self) -> pl.DataFrame:
        return pl.concat([self.canary, self.champion])


def arrived(connection: sa.Connection, lake: Lake, trial: Trial) -> int:
    """How many canary calls are in telemetry."""
    calls = _calls(connection, lake, trial.release, "canary", _since(trial))
    return int(calls.select(pl.len()).collect().item())


def arrived_since(connection: sa.Connection, lake: Lake, trial: Trial, watch_s: float) -> int:
    """How many calls of a new champion's first `watch_s` seconds are in telemetry."""
    calls = _of_watch(connection, lake, trial, watch_s)
    return int(calls.select(pl.len()).collect().item())


def exposure(connection: sa.Connection, lake: Lake, trial: Trial) -> Exposure:
    """The canary calls up to the budget, and the champion's calls up to the last of them."""
    since = _since(trial)
    canary = _calls(connection, lake, trial.release, "canary", since).head(trial.budget).collect()
    last = canary["call_id"].max()
    champion = _calls(connection, lake, trial.champion, "champion", since)
    beside = champion.filter(pl.col("call_id") <= last)
    said, refused = _said(connection, lake, since), _refused(connection, lake, since)
    return Exposure(_joined(canary.lazy(), said, refused), _joined(beside, said, refused))


def watched(connection: sa.Connection, lake: Lake, trial: Trial, watch_s: float) -> Exposure:
    """A champion's calls of its first `watch_s` seconds, up to the budget, in the place of the
    canary's; and those of the champion before it, of as many seconds before."""
    since = _moment(trial, -watch_s)
    mine = _of_watch(connection, lake, trial, watch_s).head(trial.budget)
    theirs = _calls(connection, lake, trial.champion, "champion", since)
    earlier = theirs.filter(pl.col("call_id") < _since(trial))
    said, refused = _said(connection, lake, since), _refused(connection, lake, since)
    return Exposure(_joined(mine, said, refused), _joined(earlier, said, refused))


def _of_watch(connection: sa.Connection, lake: Lake, trial: Trial, watch_s: float) -> pl.LazyFrame:
    calls = _calls(connection, lake, trial.release, "champion", _since(trial))
    return calls.filter(pl.col("call_id") < _moment(trial, watch_s))


def _calls(
    connection: sa.Connection, lake: Lake, release: str, route: str, since: str
) -> pl.LazyFrame:
    calls = manifest.calls(connection, lake, since=since, release=release, route=route).filter(
        pl.col("status") != _HUNG_UP
    )
    return calls.sort("call_id").select(
        "call_id",
        "task",
        "release",
        "route",
        "latency_ms",
        failed=(pl.col("status") >= 500) | ~pl.col("complete"),
    )


def _said(connection: sa.Connection, lake: Lake, since: str) -> pl.LazyFrame:
    """Of each call whether anyone objected, and whether its outcome was a success."""
    objection = (
        (pl.col("rating") <= BAD_RATING)
        | pl.col("correction").is_not_null()
        | pl.col("report").is_not_null()
        | ~pl.col("outcome")
    ).fill_null(value=False)
    feedback = manifest.feedback(connection, lake, since=since)
    return (
        feedback.filter(pl.col("call_id").is_not_null())
        .group_by("call_id")
        .agg(objected=objection.any(), outcome=pl.col("outcome").drop_nulls().last())
    )


def _refused(connection: sa.Connection, lake: Lake, since: str) -> pl.LazyFrame:
    signals = manifest.signals(connection, lake, since=since)
    return signals.select("call_id", refused=pl.col("refusal") > 0)


def _joined(calls: pl.LazyFrame, said: pl.LazyFrame, refused: pl.LazyFrame) -> pl.DataFrame:
    return (
        calls.join(said, on="call_id", how="left", maintain_order="left")
        .join(refused, on="call_id", how="left", maintain_order="left")
        .with_columns(pl.col("objected").fill_null(value=False))
        .collect()
    )


def _since(trial: Trial) -> str:
    return _moment(trial, 0.0)


def _moment(trial: Trial, seconds: float) -> str:
    """The first call id so long after the trial began, or before it."""
    return first_id(int(1000 * (trial.started_at.timestamp() + seconds)))
