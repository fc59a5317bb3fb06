"""`POST /v1/feedback`, `GET /v1/feedback/{feedback_id}` and `POST /v1/contributions`.

Feedback works on a call from the moment it was answered: its id proves by itself that the call was
answered here, for this tenant. What came in is on disk before the answer says so.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from loop_platform.gateway.asked import name_of
from loop_platform.gateway.given import (
    Contributed,
    Given,
    check_contributed,
    check_given,
)
from loop_platform.gateway.incoming import authorised, body_of, decoded, headers_of
from loop_platform.gateway.journal import JournalError
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.refusals import RefusedError, unavailable
from loop_platform.identity import milliseconds_of
from loop_platform.journey import journey
from loop_platform.keys import Key
from loop_platform.records import Contribution, Feedback
from loop_platform.retention.age import is_past

T = TypeVar("T")

_FEEDBACK_OF = "\0feedback\0"
"""Set before the tenant where a feedback's id is minted, so that it passes for no call's."""


_given = msgspec.json.Decoder(Given)
_contributed = msgspec.json.Decoder(Contributed)


class FeedbackDesk:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def give(self, request: Request) -> Response:
        key, body = await self._received(request, _given)
        check_given(body)
        if not self._parts.identity.issued(body.call_id, key.tenant):
            raise RefusedError(
                404,
                f"no call {body.call_id!r} was answered here for you; the id of a call is in its"
                " answer's header x-loop-call-id",
                code="call_not_found",
                param="call_id",
            )
        if is_past(self._parts.settings.retention, key.tenant, body.call_id):
            raise RefusedError(
                410,
                f"call {body.call_id!r} is older than the time that calls are kept for you",
                code="call_expired",
                param="call_id",
            )
        feedback = Feedback(
            feedback_id=self._new_id(key),
            call_id=str(uuid.UUID(body.call_id)),  # as it was minted, however it was written
            tenant=key.tenant,
            contributor=_contributor(key, body.user),
            kind=body.kind,
            received_at=time.time(),
            rating=body.rating,
            correction=body.correction,
            outcome=body.outcome,
            report=body.report,
            comment=body.comment,
        )
        return await self._accepted(feedback)

    async def contribute(self, request: Request) -> Response:
        key, body = await self._received(request, _contributed)
        check_contributed(body)
        contribution = Contribution(
            feedback_id=self._new_id(key),
            tenant=key.tenant,
            contributor=_contributor(key, body.user),
            task=body.task,
            received_at=time.time(),
            messages=[{"role": said.role, "content": said.content} for said in body.messages],
            answer=body.answer,
            comment=body.comment,
        )
        return await self._accepted(contribution)

    async def follow(self, request: Request) -> Response:
        """Where a feedback is on its way, and which release shipped it."""
        key = await authorised(headers_of(request.scope), self._parts.keys, "contributor")
        feedback_id: str = request.path_params["feedback_id"]
        if not self._parts.identity.issued(feedback_id, _FEEDBACK_OF + key.tenant):
            raise RefusedError(
                404,
                f"no feedback {feedback_id!r} came from you; its id is in the answer to"
                " POST /v1/feedback",
                code="feedback_not_found",
            )
        feedback_id = str(uuid.UUID(feedback_id))
        try:
            found = await asyncio.to_thread(self._journey, feedback_id, key.tenant)
        except SQLAlchemyError as error:
            raise unavailable("the database is away", "database_unavailable", 5) from error
        return _json(200, found or _just_received(feedback_id))

    def _journey(self, feedback_id: str, tenant: str) -> dict[str, Any] | None:
        with self._parts.database.connect() as connection:
            return journey(connection, feedback_id, tenant)

    async def _received(
        self, request: Request, decoder: "msgspec.json.Decoder[T]"
    ) -> tuple[Key, T]:
        headers = headers_of(request.scope)
        key = await authorised(headers, self._parts.keys, "contributor")
        limit = self._parts.settings.gateway.max_body_bytes
        return key, decoded(decoder, await body_of(headers, request.receive, limit))

    def _new_id(self, key: Key) -> str:
        return self._parts.identity.mint(_FEEDBACK_OF + key.tenant)

    async def _accepted(self, record: Feedback | Contribution) -> Response:
        try:
            self._parts.books.enter(record)
            await self._parts.books.settle()
        except JournalError as error:
            message = "the feedback cannot be recorded: the disk is full"
            raise unavailable(message, "journal_unwritable", 5) from error
        return _json(202, {"feedback_id": record.feedback_id})


def _contributor(key: Key, user: str | None) -> str:
    """The key's name, and whom of its application's users it speaks for."""
    user = name_of(user, "user")
    return key.name if user is None else f"{key.name}/{user}"


def _just_received(feedback_id: str) -> dict[str, Any]:
    """The way of a feedback that no stage has seen yet, or that asks for no decision."""
    received_at = datetime.fromtimestamp(milliseconds_of(feedback_id) / 1000, UTC).isoformat()
    return {
        "feedback_id": feedback_id,
        "call_id": None,
        "state": "received",
        "release": None,
        "stations": [{"station": "received", "at": received_at}],
    }


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
