"""What became of each failure mode that a cycle aimed at: success before and after on its held-out
rows.

A mode is mended where the 95 % interval of its gain lies above 0 and an exact test agrees, and
worse where both say so of a loss. The interval alone would say it of two rows; the test needs five
that changed. Everything else is not known, and most modes are: a fifth of a mode's rows is held
out. Each verdict is of one mode by itself: of forty modes in which nothing changed, one or two may
seem to have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loop_platform.defs.curation.modes import Mode
from loop_platform.statistics.paired import Difference, Pairs, difference, p_better, p_worse
from loop_platform.statistics.proportions import Rate

ALPHA = 0.05

Verdict = Literal["mended", "worse", "not known"]


@dataclass(frozen=True)
class Mending:
    """One failure mode, champion against candidate."""

    mode: Mode
    trained_on: int
    champion: Rate
    candidate: Rate
    gain: Difference
    p_value: float
    """Exact, one-sided, towards the side on which the gain lies."""
    verdict: Verdict

    def as_evidence(self) -> dict[str, Any]:
        return {
            "mode": self.mode.name,
            "cluster": self.mode.cluster,
            "severity": self.mode.severity,
            "trained_on": self.trained_on,
            "champion": self.champion.as_evidence(),
            "candidate": self.candidate.as_evidence(),
            "difference": self.gain.as_evidence(),
            "p_value": self.p_value,
            "verdict": self.verdict,
        }


def mendings(
    modes: Sequence[tuple[Mode, Mapping[str, int]]],
    asked: Sequence[str | None],
    pairs: Sequence[tuple[bool, bool]],
) -> list[Mending]:
    """Every mode that was trained on or held out, in the order given.

    Args:
        modes: each with its rows by split.
        asked: cluster of each held-out row that was asked about.
        pairs: champion's and candidate's success on each of these.
    """
    by_cluster: dict[str | None, list[tuple[bool, bool]]] = {}
    for cluster, pair in zip(asked, pairs, strict=True):
        by_cluster.setdefault(cluster, []).append(pair)
    return [
        _mending(mode, counts.get("train", 0), by_cluster.get(mode.cluster, []))
        for mode, counts in modes
        if counts.get("train") or counts.get("heldout")
    ]


def evidence(found: Sequence[Mending]) -> dict[str, Any]:
    """For the audit log."""
    return {
        "mended": _named(found, "mended"),
        "worse": _named(found, "worse"),
        "not known": len(_named(found, "not known")),
        "each": [mending.as_evidence() for mending in found],
    }


def sentence(found: Sequence[Mending]) -> str:
    """Which modes were mended, and which got worse."""
    mended, worse = _named(found, "mended"), _named(found, "worse")
    return (
        f"mended: {'; '.join(mended) or 'none'}. Worse: {'; '.join(worse) or 'none'}."
        f" Not known of {len(found) - len(mended) - len(worse)} of {len(found)} modes"
    )


def table(found: Sequence[Mending]) -> str:
    """As Markdown."""
    head = (
        "| mode | trained on | champion | candidate | gain | verdict |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(
        f"| {each.mode.name} | {each.trained_on} | {each.champion} | {each.candidate} |"
        f" {_gain(each.gain)} | {each.verdict} |"
        for each in found
    )


def _mending(mode: Mode, trained_on: int, pairs: Sequence[tuple[bool, bool]]) -> Mending:
    seen = Pairs.of([champion for champion, _ in pairs], [candidate for _, candidate in pairs])
    gain = difference(seen)
    rose = (gain.value or 0.0) >= 0
    p_value = p_better(seen) if rose else p_worse(seen)
    return Mending(
        mode,
        trained_on,
        Rate.of(seen.champion, seen.n),
        Rate.of(seen.candidate, seen.n),
        gain,
        p_value,
        _verdict(gain, p_value),
    )


def _verdict(gain: Difference, p_value: float) -> Verdict:
    if p_value >= ALPHA:
        return "not known"
    if gain.low > 0:
        return "mended"
    return "worse" if gain.high < 0 else "not known"


def _named(found: Sequence[Mending], verdict: Verdict) -> list[str]:
    return [each.mode.name for each in found if each.verdict == verdict]


def _gain(gain: Difference) -> str:
    if gain.value is None:
        return "–"
    return f"{gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"
