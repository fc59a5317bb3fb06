"""The contract of a correction: what each row keeps to, and what the rows keep to together.

A row that breaks one of `ROWS` goes to quarantine with the rule's reason. `SET` is asked of what
then enters, as is `ROWS` once more, by the blocking checks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Rule:
    """One Great Expectations expectation, made when it is needed: the import takes seconds."""

    name: str
    severity: Severity
    reason: str
    """What to say of a row, or a set, that breaks it."""
    expectation: Callable[[Any, "Limits"], Any]
    """From `great_expectations.expectations` and the limits."""


@dataclass(frozen=True)
class Limits:
    max_characters: int
    near_duplicate_similarity: float


ROWS = (
    Rule(
        "prompt_is_present",
        "critical",
        "the conversation has no user message",
        lambda gxe, limits: gxe.ExpectColumnValuesToMatchRegex(column="prompt", regex=r"\S"),
    ),
    Rule(
        "chosen_is_present",
        "critical",
        "the chosen answer is empty",
        lambda gxe, limits: gxe.ExpectColumnValuesToMatchRegex(column="chosen", regex=r"\S"),
    ),
    Rule(
        "chosen_differs_from_rejected",
        "critical",
        "the chosen answer is the one that was rejected",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeInSet(column="differs", value_set=[True]),
    ),
    Rule(
        "length_is_within_limits",
        "critical",
        "conversation and answer are longer than curation.max_characters",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeBetween(
            column="characters", min_value=2, max_value=limits.max_characters
        ),
    ),
    Rule(
        "decision_is_unique",
        "critical",
        "the decision is there more than once",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeUnique(column="decision_id"),
    ),
    Rule(
        "answers_agree",
        "critical",
        "another correction gives the same conversation a different answer",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeInSet(column="agrees", value_set=[True]),
    ),
    Rule(
        "validator_accepts_chosen",
        "critical",
        "the task's validator fails the chosen answer",
        # Null where the task has no validator, or it cannot tell.
        lambda gxe, limits: gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0.5),
    ),
)

SET = (
    Rule(
        "split_is_known",
        "critical",
        "a row is neither training nor held-out",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeInSet(
            column="split", value_set=["train", "heldout"]
        ),
    ),
    Rule(
        "no_near_duplicate_crosses",
        "critical",
        "a training row is a near-duplicate of a held-out one",
        lambda gxe, limits: gxe.ExpectColumnValuesToBeBetween(
            column="nearest_across",
            max_value=limits.near_duplicate_similarity,
            strict_max=True,
        ),
    ),
    Rule(
        "both_splits_have_rows",
        "critical",
        "there is nothing to train on, or nothing to test on",
        lambda gxe, limits: gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="split", min_value=2
        ),
    ),
    Rule(
        "rejected_is_known",
        "warning",
        "more than half of the rows have no rejected answer",
        lambda gxe, limits: gxe.ExpectColumnValuesToNotBeNull(column="rejected", mostly=0.5),
    ),
)
