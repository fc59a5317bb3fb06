"""`POST /v1/feedback`, `GET /v1/feedback/{feedback_id}` and `POST /v1/contributions`; with `/batch`
after it, a list of either.

Feedback works on a call from the moment it was answered: its id proves by itself that the call was
answered here, for this tenant. What came in is on disk before the answer says so.

A client that names what it sends (`id`) can send it again. On a call, the name gives the feedback
its id, for ever and on every worker; what came first counts. A contribution has no call: its name
is remembered in the data folder, as long as answers are.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable
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
from loop_platform.gateway.refusals import RefusedError, bad_request, unavailable
from loop_platform.identity import milliseconds_of
from loop_platform.journey import journey
from loop_platform.keys import Key
from loop_platform.records import Call, Contribution, Feedback
from loop_platform.retention.age import is_past

T = TypeVar("T")

_FEEDBACK_OF = "\0feedback\0"
"""Set before the tenant where a feedback's id is minted, so that it passes for no call's."""

LARGEST_BATCH = 1000
_AT_A_TIME = 20
"""Items of a batch between two turns of others: some 2 ms."""

_given = msgspec.json.Decoder(Given)
_contributed = msgspec.json.Decoder(Contributed)
_batch = msgspec.json.Decoder(list[msgspec.Raw])


class FeedbackDesk:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def give(self, request: Request) -> Response:
        return await self._one(request, self._feedback)

    async def give_many(self, request: Request) -> Response:
        return await self._many(request, self._feedback)

    async def contribute(self, request: Request) -> Response:
        return await self._one(request, self._contribution)

    async def contribute_many(self, request: Request) -> Response:
        return await self._many(request, self._contribution)

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

    async def received(self, request: Request, decoder: "msgspec.json.Decoder[T]") -> tuple[Key, T]:
        """Who asks, and what for."""
        key, body = await self._read(request)
        return key, decoded(decoder, body)

    def known_call(self, call_id: str, tenant: str) -> str:
        """The call's id as it was minted, however it was written; `RefusedError` where the tenant
        has no such call, or has it no longer."""
        if not self._parts.identity.issued(call_id, tenant):
            raise RefusedError(
                404,
                f"no call {call_id!r} was answered here for you; the id of a call is in its"
                " answer's header x-loop-call-id",
                code="call_not_found",
                param="call_id",
            )
        if is_past(self._parts.settings.retention, tenant, call_id):
            raise RefusedError(
                410,
                f"call {call_id!r} is older than the time that calls are kept for you",
                code="call_expired",
                param="call_id",
            )
        return str(uuid.UUID(call_id))

    def id_of(self, tenant: str, call_id: str, contributor: str, name: str) -> str:
        """The id of the feedback on a call to which a contributor gives this name. Its time is the
        call's."""
        named = _digest(call_id, contributor, name).encode()
        ms = milliseconds_of(call_id)
        return self._parts.identity.mint_of(_FEEDBACK_OF + tenant, ms, named)

    def contributor(self, key: Key, user: str | None) -> str:
        """The key's name, and whom of its application's users it speaks for; under a pseudonym
        where the tenant wants no personal data recorded."""
        user = name_of(user, "user")
        if user is None:
            return key.name
        redactors = self._parts.redactors
        if redactors.covers(key.tenant):
            user = redactors.pseudonym(key.tenant, user)
        return f"{key.name}/{user}"

    async def redacted(self, record: Feedback | Contribution) -> Feedback | Contribution:
        """As it may be entered; `RefusedError` (503) where it cannot be had so."""
        try:
            clean = await self._parts.books.redacted(record)
        except JournalError as error:
            raise _unwritable(error) from error
        assert not isinstance(clean, Call)
        return clean

    def enter(self, record: Feedback | Contribution) -> None:
        """Journals what came in; `RefusedError` (503) where it cannot be."""
        try:
            self._parts.books.enter(record)
        except JournalError as error:
            raise _unwritable(error) from error

    async def settle(self) -> None:
        """Returns when all that was entered is as durable as the settings say; `RefusedError`
        (503) where it cannot be."""
        try:
            await self._parts.books.settle()
        except JournalError as error:
            raise _unwritable(error) from error

    def remember(self, tenant: str, contributor: str, name: str, text: str) -> str:
        """What was remembered first of what a contributor names so: `text`, unless there was
        something."""
        try:
            return self._parts.kept.remember(_digest(tenant, contributor, name), text)
        except OSError as error:
            raise _unwritable(JournalError()) from error

    def recalled(self, tenant: str, contributor: str, name: str) -> str | None:
        """What is remembered of it."""
        return self._parts.kept.recall(_digest(tenant, contributor, name))

    def _feedback(self, key: Key, text: bytes) -> Feedback:
        body = decoded(_given, text)
        check_given(body)
        call_id = self.known_call(body.call_id, key.tenant)
        name = name_of(body.id, "id")
        return Feedback(
            feedback_id=self._new_id(key)
            if name is None
            else self.id_of(key.tenant, call_id, key.name, name),
            call_id=call_id,
            tenant=key.tenant,
            contributor=self.contributor(key, body.user),
            kind=body.kind,
            received_at=time.time(),
            rating=body.rating,
            correction=body.correction,
            outcome=body.outcome,
            report=body.report,
            comment=body.comment,
        )

    def _contribution(self, key: Key, text: bytes) -> Contribution:
        body = decoded(_contributed, text)
        check_contributed(body)
        name = name_of(body.id, "id")
        contributor = self.contributor(key, body.user)
        feedback_id = self._new_id(key)
        return Contribution(
            feedback_id=feedback_id
            if name is None
            else self.remember(key.tenant, key.name, name, feedback_id),
            tenant=key.tenant,
            contributor=contributor,
            task=body.task,
            received_at=time.time(),
            messages=[{"role": said.role, "content": said.content} for said in body.messages],
            answer=body.answer,
            comment=body.comment,
        )

    async def _one(
        self, request: Request, read: "Callable[[Key, bytes], Feedback | Contribution]"
    ) -> Response:
        record = await self.redacted(read(*await self._read(request)))
        self.enter(record)
        await self.settle()
        return _json(202, {"feedback_id": record.feedback_id})

    async def _many(
        self, request: Request, read: "Callable[[Key, bytes], Feedback | Contribution]"
    ) -> Response:
        """Takes what can be taken, and says of each item what became of it."""
        key, items = await self.received(request, _batch)
        if not 0 < len(items) <= LARGEST_BATCH:
            raise bad_request(f"a batch has 1 to {LARGEST_BATCH} items, not {len(items)}")
        told: list[dict[str, Any]] = []
        for start in range(0, len(items), _AT_A_TIME):
            told += [
                await self._told(key, item, read) for item in items[start : start + _AT_A_TIME]
            ]
            await asyncio.sleep(0)
        await self.settle()
        refused = sum("error" in one for one in told)
        return _json(202, {"accepted": len(told) - refused, "refused": refused, "items": told})

    async def _told(
        self,
        key: Key,
        item: msgspec.Raw,
        read: "Callable[[Key, bytes], Feedback | Contribution]",
    ) -> dict[str, Any]:
        """Takes an item of a batch, where it can be taken."""
        try:
            record = await self.redacted(read(key, bytes(item)))
            self.enter(record)
        except RefusedError as refusal:
            return {"status": refusal.status, "error": refusal.error()}
        return {"status": 202, "feedback_id": record.feedback_id}

    def _journey(self, feedback_id: str, tenant: str) -> dict[str, Any] | None:
        with self._parts.database.connect() as connection:
            return journey(connection, feedback_id, tenant)

    async def _read(self, request: Request) -> tuple[Key, bytes]:
        headers = headers_of(request.scope)
        key = await authorised(headers, self._parts.keys, "contributor")
        limit = self._parts.settings.gateway.max_body_bytes
        return key, await body_of(headers, request.receive, limit)

    def _new_id(self, key: Key) -> str:
        return self._parts.identity.mint(_FEEDBACK_OF + key.tenant)


def _digest(*parts: str) -> str:
    """Hexadecimal, of texts that are nobody else's together."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _unwritable(error: JournalError) -> RefusedError:
    return unavailable(f"the feedback cannot be recorded: {error.reason}", error.code, 5)


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


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
