"""Was the candidate trained on what it is tested on? No held-out row, and none that nearly is one,
may be among the rows that it learnt from, in its own cycle and in every one that it goes on from.

What is compared is what the user said last, as it is where rows are split and where answers are
chosen for replay. Exact copies are found by the hash of the normalised text, near ones by
resemblance (loop_platform/resemblance.py): a measure that shares no blind spot with the embedder,
by which the split was made. Short commands that name another room are other rows. What resembles
a test in meaning alone is not seen here; the split keeps it apart as far as the embedder sees it.

Evidence names rows by their ids and lines: the audit log outlives what people said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loop_platform import resemblance
from loop_platform.defs.evaluation.evidence import Gate
from loop_platform.defs.evaluation.scoring import Correction
from loop_platform.lessons import Lessons, Line
from loop_platform.release.registry import Release
from loop_platform.resemblance import NEAR, Collection, Nearest, fingerprint

UNSEEN = "held_out_rows_stay_unseen"

NAMES = {
    UNSEEN: "No held-out row, nor a near-duplicate of one, is among what the candidate, or any"
    " release that it goes on from, was trained on.",
}


@dataclass(frozen=True)
class Studied:
    """A training, and what it left in its folder."""

    release: Release
    lessons: Lessons

    @property
    def missing(self) -> int:
        return self.lessons.missing(self.release.record)

    @property
    def changed(self) -> bool:
        """Whether the files are not those of the training, and no erasure explains it."""
        same = self.lessons.sha256 == self.release.record.get("data_sha256")
        return not same and not self.missing


@dataclass(frozen=True)
class Pair:
    """A held-out row and the row of a training that resembles it most."""

    held_out: Correction
    trained: Line
    resemblance: float

    @property
    def identical(self) -> bool:
        return fingerprint(self.held_out.question) == fingerprint(self.trained.question)

    def __str__(self) -> str:
        how = "is" if self.identical else f"resembles by {self.resemblance:.2f}"
        return f"decision {self.held_out.decision_id} {how} {self.trained}"

    def as_evidence(self) -> dict[str, str | float]:
        return {
            "held_out": self.held_out.decision_id,
            "trained_on": str(self.trained),
            "resemblance": round(self.resemblance, 3),
        }


def unseen(held_out: Sequence[Correction], studied: Sequence[Studied]) -> Gate:
    """Whether the test is one. `studied` has the candidate's own training first.

    Passes only where the rows of the candidate's own training are all there, as their hash in its
    record says. Of earlier trainings `loop erase` may have taken rows out; that is said.
    """
    lines = [line for each in studied for line in each.lessons.lines]
    nearest = pairs(held_out, lines)
    leaks = [pair for pair in nearest if pair.resemblance >= NEAR]
    identical = sum(pair.identical for pair in leaks)
    doubts = _doubts(studied)
    figures = {
        "held_out": len(held_out),
        "trained_on": len(lines),
        "cycles": [each.lessons.cycle for each in studied],
        "identical": identical,
        "near_duplicates": len(leaks) - identical,
        "limit": NEAR,
        "nearest": nearest[0].as_evidence() if nearest else None,
        "leaks": [pair.as_evidence() for pair in leaks[:20]],
        "erased_since": sum(each.missing for each in studied),
        "held_out_sha256": resemblance.digest(row.question for row in held_out),
        "trained_on_sha256": resemblance.digest(line.question for line in lines),
        "files_sha256": {each.lessons.cycle: each.lessons.sha256 for each in studied},
    }
    compared = f"{len(held_out)} held-out rows compared with {len(lines)} trained on"
    return Gate(
        UNSEEN,
        passed=not leaks and not doubts,
        sentence="; ".join([compared, _found(leaks, nearest), *doubts, *_erased(studied)]),
        figures=figures,
    )


def unknown(error: Exception) -> Gate:
    """What was trained on cannot be told: then nobody knows whether the test is one."""
    return Gate(UNSEEN, False, str(error))


def pairs(held_out: Sequence[Correction], lines: Sequence[Line]) -> list[Pair]:
    """Each held-out row with the line that resembles it most, the nearest pair first."""
    trained = Collection(line.question for line in lines)
    found = [
        _pair(row, lines, nearest)
        for row in held_out
        if (nearest := trained.nearest(row.question)) is not None
    ]
    return sorted(found, key=lambda pair: (-pair.resemblance, pair.held_out.decision_id))


def _pair(row: Correction, lines: Sequence[Line], nearest: Nearest) -> Pair:
    return Pair(row, lines[nearest.at], nearest.resemblance)


def _found(leaks: Sequence[Pair], nearest: Sequence[Pair]) -> str:
    if leaks:
        return f"{len(leaks)} of them leaked, the nearest: {leaks[0]}"
    if nearest:
        return f"none is among them; the nearest, {nearest[0]}; {NEAR:g} is the limit"
    return "there was nothing to compare"


def _doubts(studied: Sequence[Studied]) -> list[str]:
    """Why it cannot be told what was trained on."""
    doubts = [
        f"the files of cycle {each.lessons.cycle} are not those that release"
        f" {each.release.release} was trained on, by their hash"
        for each in studied
        if each.changed
    ]
    if not studied:
        doubts.append("the candidate has no training")
    elif studied[0].missing:
        own = studied[0]
        doubts.append(
            f"{own.missing} rows of the candidate's own training were erased: train it again"
        )
    return doubts


def _erased(studied: Sequence[Studied]) -> list[str]:
    gone = sum(each.missing for each in studied[1:])
    return [f"{gone} rows of earlier trainings were erased since"] if gone else []
