"""What became of each mirrored call: who did the task, and what that took."""

from collections.abc import Mapping

import polars as pl

from loop_platform.defs.evaluation.scoring import judged
from loop_platform.validators import Validator


def with_outcomes(rows: pl.DataFrame, validators: Mapping[str, Validator]) -> pl.DataFrame:
    """The pairs with what became of them.

    `champion`, `candidate`: whether each did the task by its validator; null, both, where there is
    none or it cannot tell. `cost`: what a completed task took in tokens of the answer, in [-1, 1],
    more where the candidate took less (see `relative_cost`); null where that says nothing.
    `itself`, `alike`: null, for loop_platform/defs/evaluation/again.py to fill.
    """
    told = [
        _told(validators.get(task), request, champion or "", candidate or "", failed)
        for task, request, champion, candidate, failed in rows.select(
            "task", "request", "champion_answer", "candidate_answer", "failed"
        ).iter_rows()
    ]
    columns = rows.select("failed", "champion_tokens", "candidate_tokens").iter_rows()
    costs = [
        relative_cost(champion, candidate, failed, old, new)
        for (champion, candidate), (failed, old, new) in zip(told, columns, strict=True)
    ]
    return rows.with_columns(
        pl.Series("champion", [champion for champion, _ in told], pl.Boolean),
        pl.Series("candidate", [candidate for _, candidate in told], pl.Boolean),
        pl.Series("cost", costs, pl.Float64),
        itself=pl.lit(None, pl.Boolean),
        alike=pl.lit(None, pl.Boolean),
    )


def relative_cost(
    champion: bool | None, candidate: bool | None, failed: bool, old: int | None, new: int | None
) -> float | None:
    """(champion - candidate) / (champion + candidate) of the tokens that a completed task took.

    A task that is not completed costs without end: 1 where the candidate alone completed it, -1
    where the champion alone did, nothing to compare where nobody did. Where no one can tell, every
    answer that came counts. The prompt is the same on both sides and left out.
    """
    if champion is None or candidate is None:
        champion, candidate = True, not failed
    if champion and candidate:
        return (old - new) / (old + new) if old and new else None
    if champion == candidate:
        return None
    return 1.0 if candidate else -1.0


def _told(
    validator: Validator | None, request: str, champion: str, candidate: str, failed: bool
) -> tuple[bool | None, bool | None]:
    if validator is None:
        return None, None
    old, new = judged(request, champion, validator), judged(request, candidate, validator)
    return (None, None) if old is None or new is None else (old, new and not failed)
