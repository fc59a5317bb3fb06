"""Which corrections enter a cycle, and why the others do not. Nothing is ever dropped."""

import json
from collections.abc import Mapping

import numpy as np
import polars as pl

from loop_platform.defs.curation.conversations import conversation
from loop_platform.defs.curation.expectations import outcomes
from loop_platform.defs.curation.modes import by_weight
from loop_platform.defs.curation.rules import ROWS, Limits
from loop_platform.defs.curation.shares import over_share
from loop_platform.defs.curation.split import Matrix, Rows, Trained, split
from loop_platform.settings import CurationSettings
from loop_platform.validators import Validator


def limits(settings: CurationSettings) -> Limits:
    return Limits(settings.max_characters, settings.near_duplicate_similarity)


def curated(
    rows: pl.DataFrame,
    settings: CurationSettings,
    validators: Mapping[str, Validator],
    trained: Trained,
) -> pl.DataFrame:
    """`rows` with `split` (train, heldout, quarantine, deferred); of the last two with `reason`."""
    screened = _quarantine(measured(rows, validators), limits(settings))
    capped = _defer(screened, settings)
    return _divide(capped, settings, trained)


def measured(rows: pl.DataFrame, validators: Mapping[str, Validator]) -> pl.DataFrame:
    """`rows` with the columns that the rules look at. Expectations pass over nulls: none is left
    where a rule must speak."""
    scores = [_score(row, validators) for row in rows.iter_rows(named=True)]
    chosen = pl.col("chosen").str.strip_chars()
    return rows.with_columns(pl.col("prompt", "chosen").fill_null("")).with_columns(
        characters=pl.col("messages").str.len_chars() + pl.col("chosen").str.len_chars(),
        differs=pl.col("rejected").is_null() | (chosen != pl.col("rejected").str.strip_chars()),
        agrees=_agrees(rows),
        score=pl.Series(scores, dtype=pl.Float64),
    )


def _agrees(rows: pl.DataFrame) -> pl.Series:
    """Whether a row says what most corrections of its conversation say."""
    votes = rows.select("task", "messages", chosen=pl.col("chosen").str.strip_chars())
    conversation = ["task", "messages"]
    leading = (
        votes.group_by(*conversation, "chosen")
        .len()
        .filter(pl.col("len") == pl.col("len").max().over(conversation))
        .filter(pl.len().over(conversation) == 1)
        .select(*conversation, leader="chosen")
    )
    joined = votes.join(leading, on=conversation, how="left", maintain_order="left")
    return (joined["chosen"] == joined["leader"]).fill_null(value=False)


def _score(row: Mapping[str, object], validators: Mapping[str, Validator]) -> float | None:
    validator = validators.get(str(row["task"]))
    if validator is None or row["chosen"] is None:
        return None
    return validator({"messages": json.loads(str(row["messages"]))}, str(row["chosen"]))


def _quarantine(rows: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    reasons: dict[str, str] = {}
    for outcome in outcomes(rows, ROWS, limits, "decision_id") if rows.height else []:
        if outcome.error is not None:
            raise RuntimeError(f"rule {outcome.rule.name!r} could not be asked: {outcome.error}")
        for decision_id in outcome.broken_by:
            reasons.setdefault(decision_id, outcome.rule.reason)
    reason = pl.col("decision_id").replace_strict(reasons, default=None, return_dtype=pl.String)
    return rows.with_columns(
        reason=reason, split=pl.when(reason.is_not_null()).then(pl.lit("quarantine"))
    )


def _defer(rows: pl.DataFrame, settings: CurationSettings) -> pl.DataFrame:
    """The excess of any one contributor, then that of all: what is of the modes that matter least.

    What waits for another cycle is no smaller there: a mode that was passed over has its turn once
    those before it are trained.
    """
    share, most = settings.max_contributor_share, settings.max_corrections
    free = rows.filter(pl.col("split").is_null())
    over = pl.Series(over_share(free["contributor"].to_list(), share), dtype=pl.Boolean)
    within = free.filter(~over)
    late = by_weight(within)[most:] if within.height > most else []
    reasons = {
        **dict.fromkeys(
            free.filter(over)["decision_id"],
            f"its contributor already has {share:.0%} of the cycle",
        ),
        **dict.fromkeys(late, f"the cycle already has {most} corrections that matter more"),
    }
    return _deferred(rows, reasons)


def _divide(rows: pl.DataFrame, settings: CurationSettings, trained: Trained) -> pl.DataFrame:
    free = rows.filter(pl.col("split").is_null())
    parted = split(
        Rows(
            ids=free["decision_id"].to_list(),
            conversations=[conversation(messages) for messages in free["messages"]],
            embeddings=matrix(free),
            questions=free["prompt"].to_list(),
        ),
        share=settings.heldout_share,
        similarity=settings.near_duplicate_similarity,
        trained=trained,
    )
    reason = "a near-duplicate of a held-out correction"
    held = pl.col("decision_id").is_in(list(parted.heldout))
    side = pl.when(held).then(pl.lit("heldout")).otherwise(pl.lit("train"))
    return _deferred(rows, dict.fromkeys(parted.deferred, reason)).with_columns(
        split=pl.coalesce("split", side)
    )


def _deferred(rows: pl.DataFrame, reasons: Mapping[str, str]) -> pl.DataFrame:
    reason = pl.col("decision_id").replace_strict(
        dict(reasons), default=None, return_dtype=pl.String
    )
    return rows.with_columns(
        reason=pl.coalesce("reason", reason),
        split=pl.when(reason.is_not_null()).then(pl.lit("deferred")).otherwise("split"),
    )


def matrix(rows: pl.DataFrame) -> Matrix:
    """The rows' embeddings; 0 × 0 for none."""
    embeddings = rows["embedding"].to_list()
    return np.asarray(embeddings, dtype=np.float32).reshape(
        len(embeddings), -1 if embeddings else 0
    )
