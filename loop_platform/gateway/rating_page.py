"""`POST /v1/feedback/links` makes a link by which an end user rates a call, and `/rate/{token}` is
where it leads.

A link needs no key: it says by itself that it was made here (rating_links.py). Opening it rates
nothing, since mail programs and chats open links too; the button does. The first rating counts, and
others are told so for as long as answers are kept; later ones have the same id, and telemetry
leaves them out.
"""

import html
import string
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from loop_platform.gateway.feedback import FeedbackDesk
from loop_platform.gateway.given import RATINGS, LinkWanted, check_link
from loop_platform.gateway.incoming import body_of, headers_of
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.rating_links import RatingLink
from loop_platform.gateway.refusals import RefusedError, bad_request
from loop_platform.records import Feedback

_PAGE = string.Template(Path(__file__).with_name("rate.html").read_text())

_WORDS = dict(zip(RATINGS, ("useless", "poor", "fair", "good", "perfect"), strict=True))

_HEADERS = {
    # The address is the permission: no cache keeps it, and no other site is told of it.
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
}

_LARGEST_FORM = 1024

_ALREADY = 409
_NOT_NOW = 503


def _mark(name: str, path: str) -> str:
    circle = '<circle cx="24" cy="24" r="20"/>'
    return f'<svg class="mark {name}" viewBox="0 0 48 48" aria-hidden="true">{circle}{path}</svg>\n'


_THANKS = _mark("thanks", '<path d="m15 25 6 6 12-14"/>')
_SORRY = _mark("sorry", '<path d="M24 14v12m0 7v.1"/>')

_LINK = "\0link"
"""In a contributor's place, none of whom is called so: there is one such feedback on a call."""

_wanted = msgspec.json.Decoder(LinkWanted)


class RatingPage:
    def __init__(self, parts: Parts, desk: FeedbackDesk) -> None:
        self._parts = parts
        self._desk = desk

    async def link(self, request: Request) -> Response:
        """Makes a link, for a call of the key's tenant."""
        key, wanted = await self._desk.received(request, _wanted)
        settings = self._parts.settings
        check_link(wanted, settings.gateway.rating_link_max_s)
        call_id = self._desk.known_call(wanted.call_id, key.tenant)
        expires_at = int(time.time() + wanted.expires_in_s)
        link = RatingLink(
            call_id=call_id,
            tenant=key.tenant,
            contributor=self._desk.contributor(key, wanted.user),
            expires_at=expires_at,
            ratings=tuple(sorted(set(wanted.ratings))),
        )
        url = f"{settings.public_url}/rate/{self._parts.links.token(link)}"
        answer = {"url": url, "expires_at": expires_at, "ratings": link.ratings}
        return Response(msgspec.json.encode(answer), 201, media_type="application/json")

    async def show(self, request: Request) -> Response:
        """The choice. `?rating=5` in the link is a choice made, of which the button is left."""
        try:
            link = self._link(request)
            self._check_unused(link)
        except RefusedError as refusal:
            return _refused(refusal)
        chosen = request.query_params.get("rating")
        offered = [rating for rating in link.ratings if str(rating) == chosen] or link.ratings
        asked = "One click is all it takes."
        return _page(200, "How was this answer?", asked, "".join(map(_button, offered)))

    async def record(self, request: Request) -> Response:
        """The choice is made."""
        try:
            link = self._link(request)
            rating = await _chosen(request, link)
            self._check_unused(link)
            feedback = Feedback(
                feedback_id=self._desk.id_of(link.tenant, link.call_id, _LINK, ""),
                call_id=link.call_id,
                tenant=link.tenant,
                contributor=link.contributor,
                kind="rating",
                received_at=time.time(),
                rating=rating,
            )
            self._desk.enter(await self._desk.redacted(feedback))
            await self._desk.settle()
            self._desk.remember(link.tenant, _LINK, link.call_id, feedback.feedback_id)
        except RefusedError as refusal:
            return _refused(refusal)
        said = f"You rated this answer {rating} of 5, “{_WORDS[rating]}”. You can close this page."
        return _page(202, "Thank you", said, mark=_THANKS)

    def _link(self, request: Request) -> RatingLink:
        try:
            link = self._parts.links.read(request.path_params["token"])
        except ValueError as error:
            message = "This link is not one of ours. It may have been cut when it was copied."
            raise RefusedError(404, message) from error
        if link.expires_at <= time.time():
            raise RefusedError(410, "This link has expired. It worked for a limited time only.")
        try:
            self._desk.known_call(link.call_id, link.tenant)
        except RefusedError as refusal:  # whose words are for who holds a key
            gone = "This answer is no longer kept here, so it cannot be rated."
            raise RefusedError(refusal.status, gone) from refusal
        return link

    def _check_unused(self, link: RatingLink) -> None:
        if self._desk.recalled(link.tenant, _LINK, link.call_id) is not None:
            message = "This answer was rated already. The first rating counts."
            raise RefusedError(409, message)


async def _chosen(request: Request, link: RatingLink) -> int:
    body = await body_of(headers_of(request.scope), request.receive, _LARGEST_FORM)
    given = parse_qs(body.decode("latin-1")).get("rating", [])
    for rating in link.ratings:
        if given == [str(rating)]:
            return rating
    shown = ", ".join(map(str, link.ratings))
    raise bad_request(f"Choose one of these ratings: {shown}.", "rating")


def _button(rating: int) -> str:
    return (
        f'<button name="rating" value="{rating}"><b>{rating}</b> <span>{_WORDS[rating]}</span>'
        "</button>"
    )


def _refused(refusal: RefusedError) -> Response:
    if refusal.status == _ALREADY:
        return _page(refusal.status, "Rated already", refusal.message, mark=_THANKS)
    text = refusal.message
    if refusal.status == _NOT_NOW:
        text = "It cannot be written down at the moment. Please try again in a minute."
    return _page(refusal.status, "No rating was taken", text, mark=_SORRY)


def _page(status: int, title: str, text: str, buttons: str = "", *, mark: str = "") -> Response:
    """A result is read out as soon as it is there: its heading has the focus."""
    said: dict[str, Any] = {"title": html.escape(title), "text": html.escape(text)}
    focus = ' tabindex="-1" autofocus' if mark else ""
    page = _PAGE.substitute(said, buttons=buttons, mark=mark, focus=focus)
    return HTMLResponse(page, status, _HEADERS)
