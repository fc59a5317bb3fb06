"""The canary gates: the planned number of calls, looked at once, beside the champion's calls of the
same period.

Twenty calls show that nothing is badly broken, no more: what a candidate is worth was shown by the
pairs of its shadow. A gate refuses when the candidate is worse beyond chance (Fisher's exact test),
or when even the lower end of its interval is over an absolute limit.
"""

from collections.abc import Sequence

import polars as pl

from loop_platform.defs.evaluation.evidence import Gate, Score
from loop_platform.defs.evaluation.offline_gates import ALPHA
from loop_platform.defs.release.exposure import Exposure
from loop_platform.release.guardrails import SLOW_SHARE
from loop_platform.settings import GateSettings
from loop_platform.statistics.proportions import Rate
from loop_platform.statistics.unpaired import difference, p_more

NAMES = {
    "errors_stay_low": "No more calls fail than may, and no more than the champion's.",
    "latency_stays_low": "No more calls exceed the latency budget than may.",
    "refusals_stay_low": "The candidate does not decline more often than the champion.",
    "feedback_stays_good": "Nobody objects more often than to the champion's answers.",
    "outcomes_stay_good": "Where outcomes are reported, failures are no more frequent.",
}


def judge(seen: Exposure, gates: GateSettings) -> list[Gate]:
    """All five, in the order of their names."""
    slow = pl.col("latency_ms") > gates.latency_budget_ms
    measures = (
        ("failed calls", pl.col("failed"), gates.max_error_share),
        ("calls over the latency budget", slow, SLOW_SHARE),
        ("refusals", pl.col("refused"), None),
        ("calls objected to", pl.col("objected"), None),
        ("failed outcomes", ~pl.col("outcome"), None),
    )
    return [
        _gate(name, metric, _rate(seen.champion, bad), _rate(seen.canary, bad), limit)
        for name, (metric, bad, limit) in zip(NAMES, measures, strict=True)
    ]


def _rate(calls: pl.DataFrame, bad: pl.Expr) -> Rate:
    """Of the calls of which it is known."""
    known: Sequence[bool] = calls.select(bad.alias("bad"))["bad"].drop_nulls().to_list()
    return Rate.of(sum(known), len(known))


def _gate(name: str, metric: str, champion: Rate, canary: Rate, limit: float | None) -> Gate:
    p_value = p_more(canary, champion)
    over = limit is not None and canary.low > limit
    passed = p_value >= ALPHA and not over
    sentence = f"{metric}: {canary}, the champion's {champion}; p {p_value:.3f} for more of them"
    if limit is not None:
        sentence += f", {limit:.1%} is the limit"
    score = Score(
        "all tasks",
        metric,
        champion=champion,
        candidate=canary,
        difference=difference(canary, champion),
        p_value=p_value,
        verdict="held" if passed else "lost",
    )
    return Gate(name, passed, sentence, [score])
