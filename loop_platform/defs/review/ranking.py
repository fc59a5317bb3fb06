"""The order of the review queue: priority = impact × novelty × uncertainty.

    harm         1 − Π (1 − weight): how much speaks against the answer, from 0 to 1
    impact       harm × (1 + share), share being the part of the open queue that is in the same
                 cluster: what hits more calls matters more, up to twice as much
    novelty      1 / (1 + k), k being the items of the cluster that are decided or further ahead in
                 the queue: the second of a kind teaches half as much as the first
    uncertainty  1 where people disagree about the answer, else ½ + ½ (1 − exp(mean token
                 log-probability)), and ¾ where that is unknown

So each failure mode puts one item at the head of the queue before any puts its second there, and
`k` stays as it is while people decide from the head. Trust in contributors is not weighed here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

_FLAG = 0.3
_CONTRIBUTION = 0.5
_WEIGHTS = {"correction": 0.9, "outcome": 0.8, "report": 0.8}
_RATINGS = {1: 0.7, 2: 0.5}


def harm(flags: Sequence[object], feedback: Sequence[Mapping[str, Any]]) -> float:
    """How much speaks against an answer: its flags, and what people said of it."""
    weights = [_FLAG] * len(flags) + [_weight(said) for said in feedback]
    return 1 - math.prod(1 - weight for weight in weights)


def objects(said: Mapping[str, Any]) -> bool:
    """Whether this piece of feedback calls for a person's decision."""
    return _weight(said) > 0


def uncertainty(feedback: Sequence[Mapping[str, Any]], mean_logprob: float | None) -> float:
    """How much a person's decision would tell us."""
    verdicts = {objects(said) for said in feedback}
    corrections = {said["correction"] for said in feedback if said.get("correction")}
    if len(verdicts) > 1 or len(corrections) > 1:
        return 1.0
    return 0.75 if mean_logprob is None else 1 - 0.5 * math.exp(min(mean_logprob, 0.0))


def _weight(said: Mapping[str, Any]) -> float:
    match said["kind"]:
        case "rating":
            return _RATINGS.get(said["rating"], 0.0)
        case "outcome" if said["outcome"]:
            return 0.0
        case "contribution":
            return _CONTRIBUTION
        case kind:
            return _WEIGHTS[kind]


_RERANK = sa.text("""
    WITH decided AS (
        SELECT cluster, count(*) AS items FROM review_items WHERE state = 'decided' GROUP BY cluster
    ), ranked AS (
        SELECT item_id,
               harm * (1 + count(*) OVER (PARTITION BY cluster)::float8 / count(*) OVER ())
                   AS impact,
               1.0 / (coalesce(decided.items, 0) + row_number() OVER (
                   PARTITION BY cluster ORDER BY harm * uncertainty DESC, item_id)) AS novelty
        FROM review_items LEFT JOIN decided USING (cluster)
        WHERE state = 'open'
    )
    UPDATE review_items AS item
    SET impact = ranked.impact, novelty = ranked.novelty,
        priority = ranked.impact * ranked.novelty * item.uncertainty
    FROM ranked WHERE ranked.item_id = item.item_id
""")


def rerank(connection: sa.Connection) -> int:
    """Bring impact, novelty and priority of every open item up to date; says how many."""
    return connection.execute(_RERANK).rowcount
