"""The bodies of feedback and contributions, and what makes no sense in them."""

from typing import Literal

import msgspec

from loop_platform.gateway.asked import name_of
from loop_platform.gateway.refusals import bad_request
from loop_platform.records import FeedbackKind


class Given(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a feedback."""

    call_id: str
    kind: FeedbackKind
    rating: int | None = None
    correction: str | None = None
    outcome: bool | None = None
    report: str | None = None
    comment: str | None = None
    user: str | None = None
    id: str | None = None
    """The client's own name for it: on one call, what is sent again under it counts once."""


class Message(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str


RATINGS = (1, 2, 3, 4, 5)
"""From useless to perfect."""


class LinkWanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body that asks for a link by which an end user rates a call."""

    call_id: str
    ratings: tuple[int, ...] = RATINGS
    """Those that the user can choose from."""
    expires_in_s: float = 7 * 86_400.0
    user: str | None = None


class Contributed(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a contribution."""

    task: str
    messages: list[Message]
    answer: str
    comment: str | None = None
    user: str | None = None
    id: str | None = None
    """The client's own name for it: what is sent again under it, while that is remembered
    (`idempotency_ttl_s`), counts once."""


def check_given(body: Given) -> None:
    values: dict[str, object] = {
        "rating": body.rating,
        "correction": body.correction,
        "outcome": body.outcome,
        "report": body.report,
    }
    if values[body.kind] is None:
        raise bad_request(f"a feedback of kind {body.kind!r} needs `{body.kind}`", body.kind)
    for name, value in values.items():
        if name != body.kind and value is not None:
            raise bad_request(f"a feedback of kind {body.kind!r} cannot have `{name}` too", name)
    if body.rating is not None:
        _check_rating(body.rating, "rating")
    for name in ("correction", "report", "comment"):
        _check_text(getattr(body, name), name)


def check_contributed(body: Contributed) -> None:
    if name_of(body.task, "task") is None:
        raise bad_request("`task` is empty", "task")
    if not body.messages or body.messages[-1].role == "assistant":
        raise bad_request("`messages` has to end with what `answer` answers", "messages")
    for message in body.messages:
        _check_text(message.content, "messages")
    _check_text(body.answer, "answer")
    _check_text(body.comment, "comment")


def check_link(body: LinkWanted, longest_s: float) -> None:
    if not body.ratings:
        raise bad_request("`ratings` is empty: there is nothing to choose from", "ratings")
    for rating in body.ratings:
        _check_rating(rating, "ratings")
    if not 0 < body.expires_in_s <= longest_s:
        raise bad_request(
            f"`expires_in_s` is {body.expires_in_s:g}: a link works for up to {longest_s:g} s",
            "expires_in_s",
        )


def _check_rating(rating: int, name: str) -> None:
    if rating not in RATINGS:
        raise bad_request(f"a rating is 1 to 5, not {rating}", name)


def _check_text(text: str | None, name: str) -> None:
    if text is not None and not text.strip():
        raise bad_request(f"`{name}` is empty", name)
    if text is not None and "\0" in text:  # no database takes it
        raise bad_request(f"`{name}` has a NUL character in it", name)
