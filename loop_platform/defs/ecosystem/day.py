"""A day of the loop in numbers, each with what it was counted over."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import decisions, moves, review_feedback
from loop_platform.lake import Lake
from loop_platform.turns import Spread, Turn

COLUMNS = pl.Schema(
    {
        "day": pl.String(),
        "about": pl.String(),  # loop | task <task> | release <release> | cycle <cycle>
        "metric": pl.String(),
        "value": pl.Float64(),
        "n": pl.Int64(),  # what it was counted over
    }
)

Row = tuple[str, str, float | None, int]


def hours_of(day: str) -> list[str]:
    return [f"{day}-{hour:02d}:00" for hour in range(24)]


def traffic(connection: sa.Connection, lake: Lake, day: str, cost_per_hour: float) -> list[Row]:
    """Calls, success and price: the price is the machine's for the minutes in which it answered."""
    calls = (
        manifest.calls(connection, lake, hours=hours_of(day))
        .filter(pl.col("route") != "shadow")
        .select("task", "release", "status", "started_at", "prompt_tokens", "completion_tokens")
        .collect()
    )
    tokens = int(calls["prompt_tokens"].sum() or 0) + int(calls["completion_tokens"].sum() or 0)
    busy = (calls["started_at"] // 60).n_unique()
    price = 1e6 * cost_per_hour * (busy / 60) / tokens if tokens else None
    rows: list[Row] = [
        ("loop", "calls", float(calls.height), calls.height),
        ("loop", "answered share", _mean(calls["status"] == 200), calls.height),
        ("loop", "price per million tokens", price, tokens),
    ]
    return rows + _success(connection, lake, day)


def _success(connection: sa.Connection, lake: Lake, day: str) -> list[Row]:
    """What callers said of their tasks, by task and release."""
    said = (
        manifest.feedback(connection, lake, hours=hours_of(day))
        .filter(pl.col("outcome").is_not_null())
        .group_by("task", "release")
        .agg(pl.col("outcome").mean(), n=pl.len())
        .sort("task", "release")
        .collect()
    )
    return [
        (f"task {task}", f"success of {release}", share, n)
        for task, release, share, n in said.iter_rows()
    ]


def people(connection: sa.Connection, day: str) -> list[Row]:
    """What people gave: feedback in the queue, of how many; decisions; and the week before."""
    start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    end = start + timedelta(days=1)
    received, decided = review_feedback.c.received_at, decisions.c.decided_at
    count = sa.func.count()
    who = sa.func.count(review_feedback.c.contributor.distinct())
    today = sa.and_(received >= start, received < end)
    week = sa.and_(received >= end - timedelta(days=7), received < end)
    feedback, contributors = connection.execute(sa.select(count, who).where(today)).one()
    in_week, by = connection.execute(sa.select(count, who).where(week)).one()
    done = connection.scalar(sa.select(count).where(decided >= start, decided < end)) or 0
    return [
        ("loop", "feedback queued", float(feedback), contributors),
        ("loop", "contributions in seven days", float(in_week), by),
        ("loop", "decisions", float(done), done),
    ]


def improvements(turns: Sequence[Turn], day: str, cost_per_hour: float) -> list[Row]:
    """Of every cycle that opened on this day: its stages, what it used, gained and cost."""
    rows: list[Row] = []
    for turn in turns:
        if turn.opened_at.astimezone(UTC).strftime("%Y-%m-%d") == day:
            rows += [(f"cycle {turn.cycle}", *row) for row in _improvement(turn, cost_per_hour)]
    return rows


def _improvement(turn: Turn, cost_per_hour: float) -> list[tuple[str, float | None, int]]:
    used = turn.corrections.get("train", 0) + turn.corrections.get("heldout", 0)
    spent = sum(turn.stages_s.values())
    rows: list[tuple[str, float | None, int]] = [
        ("corrections used", float(used), turn.contributors),
        ("time to update, s", spent, len(turn.stages_s)),
        ("cost", spent / 3600 * cost_per_hour, 1),
        *((f"{stage}, s", seconds, 1) for stage, seconds in turn.stages_s.items()),
    ]
    for name, spread in turn.correction_parts_s.items():
        rows += _percentiles(name, spread)
    if turn.correction_to_production_s is not None:
        rows += _percentiles("correction to production", turn.correction_to_production_s)
    for score in turn.scores:
        rows += _before_and_after(score)
    return rows


def _percentiles(name: str, spread: Spread) -> list[tuple[str, float | None, int]]:
    values = {"p50": spread.p50, "p95": spread.p95, "max": spread.max}
    return [(f"{name}, {which}, s", value, spread.n) for which, value in values.items()]


def _before_and_after(score: dict[str, Any]) -> list[tuple[str, float | None, int]]:
    sides = {"before": score.get("champion"), "after": score.get("candidate")}
    return [
        (f"{score['task']} {score['metric']} {when}", side["rate"], side["n"])
        for when, side in sides.items()
        if side is not None
    ]


def promotions(connection: sa.Connection, day: str) -> list[Row]:
    """Moves of the day that changed what callers get, or refused to."""
    start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    rows: list[Row] = []
    for state in ("champion", "rejected", "rolled_back"):
        query = sa.select(sa.func.count()).where(
            moves.c.to_state == state,
            moves.c.moved_at >= start,
            moves.c.moved_at < start + timedelta(days=1),
        )
        made = connection.scalar(query) or 0
        rows.append(("loop", f"releases {state.replace('_', ' ')}", float(made), made))
    return rows


def _mean(flags: pl.Series) -> float | None:
    share = flags.mean()
    return None if share is None else float(share)  # type: ignore[arg-type]  # of booleans
