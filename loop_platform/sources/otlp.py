"""Traces as OTLP/HTTP sends them (https://opentelemetry.io/docs/specs/otlp/#otlphttp), read into
spans with plain values: protobuf and JSON, as they are or in gzip.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Encoding = Literal["protobuf", "json"]
Attributes = Mapping[str, Any]

_GZIP = 16 + zlib.MAX_WBITS
# A body of the wrong form ends in one of these, here or in the library.
_WRONG = (
    msgspec.DecodeError,
    json_format.ParseError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)
_IDS = ("traceId", "spanId", "parentSpanId")


class TracesError(ValueError):
    """The body is no traces."""


class TracesTooLargeError(TracesError):
    """The body is larger than allowed, once it is unpacked."""


@dataclass(frozen=True)
class Event:
    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """A span, its attributes as plain values; times are seconds since the epoch, 0 if not given."""

    trace_id: str
    span_id: str
    started_at: float
    ended_at: float
    attributes: Attributes
    events: tuple[Event, ...]
    resource: Attributes
    failed: bool
    message: str
    """Of the span's status."""


def unpacked(body: bytes, limit: int) -> bytes:
    """The content of a gzip body, of at most `limit` bytes.

    Raises:
        TracesError: it is no gzip, or cut.
        TracesTooLargeError: it is larger.
    """
    unpacking = zlib.decompressobj(_GZIP)
    try:
        content = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        raise TracesError(f"the body is no gzip: {error}") from error
    if len(content) > limit:
        raise TracesTooLargeError(f"the body unpacks to more than the {limit} bytes allowed")
    if not unpacking.eof:
        raise TracesError("the body is a gzip that is cut")
    return content


def spans(body: bytes, encoding: Encoding) -> list[Span]:
    """Every span in a request's body.

    Raises:
        TracesError: it is no `ExportTraceServiceRequest`.
    """
    request = _from_json(body) if encoding == "json" else _from_protobuf(body)
    return list(_spans(request))


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise TracesError(f"the body is no ExportTraceServiceRequest: {error}") from error
    return request


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        given = msgspec.json.decode(body)  # unlike json, it takes no half of a surrogate pair
        for span in _json_spans(given):
            _ids_as_protobuf(span)
            for link in span.get("links") or ():
                _ids_as_protobuf(link)
        json_format.ParseDict(given, request, ignore_unknown_fields=True)
    except _WRONG as error:
        raise TracesError(f"the body is no traces in OTLP's JSON: {error}") from error
    return request


def _json_spans(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in request.get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            yield from scope.get("spans") or ()


def _ids_as_protobuf(span: dict[str, Any]) -> None:
    """OTLP's JSON has ids in hexadecimal, where protobuf's own has bytes in base64."""
    for name in _IDS:
        if name in span:
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _span(span, resource)


def _span(span: trace_pb2.Span, resource: Attributes) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        started_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        attributes=_attributes(span.attributes),
        events=tuple(Event(event.name, _attributes(event.attributes)) for event in span.events),
        resource=resource,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        message=span.status.message,
    )


def _attributes(given: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in given}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    found: object = None if kind is None else getattr(value, kind)
    return found
