"""`POST /v1/traces`: OTLP/HTTP from teams that keep their own gateway.

A span that asks a model becomes a call, with an id that its trace and span give it: what an
exporter sends again is the same call, and telemetry counts it once. Spans of anything else are
accepted and left; a span that is refused costs the others nothing and is named in the answer's
partial success (https://opentelemetry.io/docs/specs/otlp/#partial-success-1).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import Request
from starlette.responses import Response

from loop_platform.gateway.incoming import authorised, body_of, headers_of
from loop_platform.gateway.journal import JournalError
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.refusals import RefusedError, unavailable
from loop_platform.keys import Key
from loop_platform.records import Call
from loop_platform.sources import genai_spans, otlp
from loop_platform.sources.intake import Intake

_TYPES: dict[str, otlp.Encoding] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
_SHOWN = 5
_AT_ONCE = 2
"""So many bodies are unpacked at once: each may be as large as the settings allow."""

_CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    503: code_pb2.UNAVAILABLE,
}


@dataclass
class _Found:
    calls: list[Call] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class TraceDesk:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def take(self, request: Request) -> Response:
        encoding = _TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip())
        try:
            if encoding is None:
                raise RefusedError(415, f"the content type has to be one of {', '.join(_TYPES)}")
            found = await self._found(request, encoding)
            await self._journal(found.calls)
        except RefusedError as refusal:
            return _refusal(refusal, encoding or "json")
        return _answer(_partial(found.refused), encoding, 200)

    async def _found(self, request: Request, encoding: otlp.Encoding) -> _Found:
        headers = headers_of(request.scope)
        key = await authorised(headers, self._parts.keys, "caller")
        packing = headers.get(b"content-encoding", b"identity").strip().lower()
        if packing not in (b"identity", b"gzip"):
            raise RefusedError(
                415, f"the content encoding {packing.decode('latin-1')!r} is unknown"
            )
        async with self._turn:
            limit = self._parts.settings.gateway.max_traces_bytes
            body = await body_of(headers, request.receive, limit)
            try:
                # Off the event loop: a large batch takes longer than a caller should wait.
                return await asyncio.to_thread(
                    self._read, body, packing == b"gzip", encoding, self._intake(key)
                )
            except otlp.TracesTooLargeError as error:
                raise RefusedError(413, str(error)) from error
            except otlp.TracesError as error:
                raise RefusedError(400, str(error)) from error

    def _intake(self, key: Key) -> Intake:
        parts = self._parts
        return Intake(parts.identity, parts.settings, "otlp", key.tenant, key.key_id)

    def _read(self, body: bytes, packed: bool, encoding: otlp.Encoding, intake: Intake) -> _Found:
        if packed:
            body = otlp.unpacked(body, self._parts.settings.gateway.max_traces_bytes)
        found = _Found()
        for span in otlp.spans(body, encoding):
            try:
                told = genai_spans.recorded(span)
                if told is not None:
                    found.calls.append(intake.call(told))
            except (ValueError, OverflowError, RecursionError) as error:
                found.refused.append(f"span {span.span_id or '(no id)'}: {error}")
        return found

    async def _journal(self, calls: Sequence[Call]) -> None:
        """Enters all of them. When the disk fills up in the middle the exporter sends them all
        again, and those that were entered are the same calls."""
        try:
            for call in calls:
                self._parts.books.enter(await self._parts.books.redacted(call))
            await self._parts.books.settle()
        except JournalError as error:
            message = f"the spans cannot be recorded: {error.reason}"
            raise unavailable(message, error.code, 5) from error


def _partial(refused: Sequence[str]) -> ExportTraceServiceResponse:
    answer = ExportTraceServiceResponse()
    if refused:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        answer.partial_success.rejected_spans = len(refused)
        answer.partial_success.error_message = "; ".join(refused[:_SHOWN]) + more
    return answer


def _refusal(refusal: RefusedError, encoding: otlp.Encoding) -> Response:
    """As the protocol wants it: a `Status` in the encoding of the request."""
    status = Status(code=_CODES.get(refusal.status, code_pb2.UNKNOWN), message=refusal.message)
    response = _answer(status, encoding, refusal.status)
    if refusal.retry_after_s is not None:
        response.headers["retry-after"] = str(refusal.retry_after_s)
    return response


def _answer(message: Message, encoding: otlp.Encoding, status: int) -> Response:
    if encoding == "json":
        text = json_format.MessageToJson(message, indent=None)
        return Response(text, status, media_type="application/json")
    return Response(message.SerializeToString(), status, media_type="application/x-protobuf")
