"""The data contracts: what the gateway journals, once, for every stage.

A journal file is lines of JSON, each one `Line`; the `record` field names which. A reader of a
newer schema reads older lines: fields are only ever added, with a default.
"""

from typing import Literal

import msgspec

SCHEMA_VERSION = 1

Route = Literal["champion", "canary", "shadow", "external"]
"""How the gateway routed a call; `external` went by another way, and was told of afterwards."""
Source = Literal["gateway", "otlp", "openai", "litellm"]
"""Who recorded a call: the gateway, or what teams that keep their own send in."""
FeedbackKind = Literal["rating", "correction", "outcome", "report"]


class Call(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="call"):
    """One request and its answer, through the gateway or told of by another."""

    schema_version: int = SCHEMA_VERSION
    call_id: str
    """A UUIDv7 (loop_platform/identity.py): its hour is in it."""
    tenant: str
    key_id: str
    session: str | None
    user: str | None
    task: str
    release: str
    """The release that answered."""
    route: Route
    pair_id: str | None = None
    """On a shadow answer: the `call_id` of the call that it mirrors."""
    source: Source = "gateway"
    endpoint: str
    """Path of the request, `/v1/chat/completions`."""
    started_at: float
    """Seconds since the epoch."""
    first_byte_ms: float | None
    latency_ms: float
    status: int
    """HTTP status that the caller saw; 499 when the caller hung up."""
    streamed: bool
    complete: bool
    """False when the answer was cut: by the caller, the engine or a timeout."""
    error: str | None = None
    request: msgspec.Raw
    """The request's JSON body as the caller sent it."""
    response: str
    """The answer's body as the engine sent it: JSON, or the event stream's text."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    redacted: dict[str, int] | None = None
    """How many of each kind of personal data were replaced, and not necessarily all that there was;
    None where the tenant does not ask for it."""


BAD_RATING = 2
"""A rating up to this one objects."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="feedback"):
    """What someone said of a call. Exactly the field that its kind names is set."""

    schema_version: int = SCHEMA_VERSION
    feedback_id: str
    """A UUIDv7, minted on arrival."""
    call_id: str
    tenant: str
    contributor: str
    kind: FeedbackKind
    received_at: float
    rating: int | None = None
    """1 (useless) to 5 (perfect)."""
    correction: str | None = None
    """The answer that should have been given."""
    outcome: bool | None = None
    """Did the task succeed?"""
    report: str | None = None
    """What was wrong, in words."""
    comment: str | None = None
    redacted: dict[str, int] | None = None
    """As a call's."""

    @property
    def objects(self) -> bool:
        """Whether something is said to be wrong with the answer."""
        rated_badly = self.rating is not None and self.rating <= BAD_RATING
        said = self.correction is not None or self.report is not None
        return rated_badly or said or self.outcome is False


class Contribution(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="contribution"
):
    """A developer's own example: a conversation and the answer it should get."""

    schema_version: int = SCHEMA_VERSION
    feedback_id: str
    """A UUIDv7, minted on arrival: a contribution is followed like feedback."""
    tenant: str
    contributor: str
    task: str
    received_at: float
    messages: list[dict[str, str]]
    answer: str
    comment: str | None = None
    redacted: dict[str, int] | None = None
    """As a call's."""


Record = Call | Feedback | Contribution


class Opened(msgspec.Struct, frozen=True, tag_field="record", tag="opened"):
    """A stream that began. No row comes of it: the call's own record follows when it ends."""

    call: Call
    """What is recorded in the end where the gateway is killed before it ends."""


class Continued(msgspec.Struct, frozen=True, tag_field="record", tag="continued"):
    """The streams that began here and did not end go on in the writer's next segment."""


Line = Record | Opened | Continued
"""What the lines of a segment can be."""
