"""What is measured, once for those who add to it and for those who show it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "histogram"]

SECONDS = tuple(0.01 * 2**n for n in range(14))
"""Upper bounds of the histograms, in seconds: those that the GenAI semantic conventions advise for
durations (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics)."""

BEYOND = "+Inf"


@dataclass(frozen=True)
class Measure:
    name: str
    """As Prometheus shows it, without `_total`."""
    documentation: str
    kind: Kind
    labels: tuple[str, ...]


CALLS = Measure(
    "loop_gateway_requests",
    "Calls through the gateway, by the status that the caller saw",
    "counter",
    ("task", "release", "route", "status"),
)
CUT = Measure(
    "loop_gateway_cut_answers",
    "Calls whose answer did not come whole",
    "counter",
    ("task", "release", "route"),
)
TOKENS = Measure(
    "loop_gateway_tokens",
    "Tokens of prompts and of answers, where the engine told them",
    "counter",
    ("task", "release", "route", "kind"),
)
LATENCY = Measure(
    "loop_gateway_latency_seconds",
    "Time from a request to the end of its answer",
    "histogram",
    ("task", "release", "route"),
)
FIRST_BYTE = Measure(
    "loop_gateway_time_to_first_byte_seconds",
    "Time from a request to the first byte of its streamed answer",
    "histogram",
    ("task", "release", "route"),
)
ELSEWHERE = Measure(
    "loop_recorded_elsewhere", "Calls that others recorded and sent in", "counter", ("source",)
)
FEEDBACK = Measure("loop_feedback", "Feedback and contributions taken", "counter", ("kind",))
SHADOW = Measure(
    "loop_shadow_copies",
    "Copies for the shadow release: mirrored, of these failed; dropped or expired before",
    "counter",
    ("outcome",),
)
REDACTION = Measure(
    "loop_redaction",
    "Records, or a call's request and its answer, that personal data was to be taken out of:"
    " redacted; refused, since no redactor was free; failed in the redactor",
    "counter",
    ("outcome",),
)
REDACTED = Measure(
    "loop_redacted", "Pieces of personal data that were replaced", "counter", ("kind",)
)
UNWRITTEN = Measure("loop_journal_unwritten", "Records that could not be journalled", "counter", ())
LIMITED = Measure(
    "loop_gateway_limited",
    "Calls refused with 429, by whose limit they met and what it counts",
    "counter",
    ("subject", "unit"),
)

MEASURES = (
    CALLS,
    CUT,
    TOKENS,
    LATENCY,
    FIRST_BYTE,
    ELSEWHERE,
    FEEDBACK,
    SHADOW,
    REDACTION,
    REDACTED,
    UNWRITTEN,
    LIMITED,
)
