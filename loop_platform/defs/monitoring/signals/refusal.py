"""Whether the model declined: 1 when the answer opens with words of refusal."""

import re

from loop_platform.defs.monitoring.observed import ObservedCall

_REFUSES = re.compile(
    r"\b(i('m| am) (sorry|unable|not able)|i (can('|no)t|won't)|as an ai\b|i do not have (the )?"
    r"(ability|access))",
    re.IGNORECASE,
)
_OPENING = 160


def declines(answer: str) -> bool:
    """Whether an answer opens so."""
    opening = answer[:_OPENING].replace("’", "'")
    return _REFUSES.search(opening) is not None


def measure(call: ObservedCall) -> float | None:
    return float(declines(call.answer)) if call.answer else None


def reason(value: float) -> str | None:
    return "declines to answer" if value else None
