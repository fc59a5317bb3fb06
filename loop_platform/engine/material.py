"""What a run learns from, and by which methods: they follow from what the data is.

| what there is | method |
|---|---|
| a correction | its answer is learnt |
| a correction and the answer that it replaces | that, and DPO where the recipe gives it a weight |
| a rating without a correction, enough of both kinds | KTO |
| a correction that an earlier cycle learnt | its answer is learnt again, now and then (rehearsal) |
| an answer of the champion on another task | held where it is |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loop_platform.engine.job import Job, Recipe
from loop_platform.engine.preference import Pairs
from loop_platform.engine.probe import Probe
from loop_platform.engine.rows import Row, RowRefusedError, sift, sift_pairs, sift_thumbs
from loop_platform.engine.thumbs import FEWEST, Thumbs


class NothingToLearnError(RuntimeError):
    """There is no correction that can be learnt from."""


@dataclass(frozen=True)
class Material:
    """Rows of a run."""

    rows: Sequence[Row]
    """Corrections, replay and rehearsal that are learnt from."""
    probe: Probe
    pairs: Pairs | None
    thumbs: Thumbs | None
    refused: Sequence[RowRefusedError]
    methods: Sequence[str]
    """In words, those that were left out too."""

    @property
    def corrections(self) -> int:
        return len(self.rows) - self.replayed - self.rehearsed

    @property
    def replayed(self) -> int:
        return sum(row.replay for row in self.rows)

    @property
    def rehearsed(self) -> int:
        return sum(row.earlier for row in self.rows)

    @property
    def tokens(self) -> int:
        """Of an epoch, without preferences and rehearsal."""
        return sum(len(row.ids) for row in self.rows if not row.earlier)


def files(job: Job) -> list[Path]:
    """What a run reads, in the order in which they are hashed."""
    given = (job.corrections, job.replay, job.preferences, job.thumbs, job.rehearsal)
    return [Path(file) for file in given if file is not None]


def material(job: Job, tokenizer: Any) -> Material:  # noqa: ANN401
    """What the job's files hold.

    Raises:
        NoRowError: a line is no row at all.
        NothingToLearnError: no correction can be learnt from.
    """
    limit = job.max_tokens
    corrected, refused = sift(Path(job.corrections), tokenizer, replay=False, max_tokens=limit)
    if all(row.apart for row in corrected):
        why = f": {len(refused)} were refused, the first as {refused[0]}" if refused else ""
        raise NothingToLearnError(f"{job.corrections} has no row to learn{why}")
    replayed, others = sift(Path(job.replay), tokenizer, replay=True, max_tokens=limit)
    refused += others
    earlier: list[Row] = []
    if job.rehearsal is not None and job.recipe.rehearsal_rows > 0:
        learnt, others = sift(Path(job.rehearsal), tokenizer, replay=False, max_tokens=limit)
        earlier = [replace(row, earlier=True) for row in learnt]
        refused += others
    chosen: list[Row] = []
    rejected: list[Row] = []
    if job.preferences is not None and job.recipe.preference_weight > 0:
        chosen, rejected, others = sift_pairs(Path(job.preferences), tokenizer, max_tokens=limit)
        refused += others
    liked: list[Row] = []
    disliked: list[Row] = []
    if job.thumbs is not None and job.recipe.thumbs_weight > 0:
        liked, disliked, others = sift_thumbs(Path(job.thumbs), tokenizer, max_tokens=limit)
        refused += others
    enough = min(len(liked), len(disliked)) >= FEWEST
    every = corrected + replayed + earlier
    return Material(
        rows=[row for row in every if not row.apart],
        probe=Probe([row for row in every if row.apart]),
        pairs=Pairs(chosen, rejected) if chosen else None,
        thumbs=Thumbs(liked, disliked, limit) if enough else None,
        refused=refused,
        methods=list(_methods(job.recipe, len(chosen), len(liked), len(disliked))),
    )


def _methods(recipe: Recipe, pairs: int, liked: int, disliked: int) -> Iterator[str]:
    yield "corrections: their answers are learnt"
    if recipe.preference_weight > 0:
        yield f"corrections with the answer that they replace: DPO on {pairs} pairs"
    else:
        yield "corrections with the answer that they replace: no DPO, the recipe gives it no weight"
    said = f"ratings without a correction, {liked} liked and {disliked} disliked"
    if recipe.thumbs_weight <= 0:
        yield "ratings without a correction: no KTO, the recipe gives it no weight"
    elif min(liked, disliked) < FEWEST:
        yield f"{said}: no KTO, which takes {FEWEST} of each kind"
    else:
        yield f"{said}: KTO"
