"""Calls as spans of the GenAI semantic conventions, to an OTLP/HTTP collector.

A call's trace and span ids are made of its own id: what is sent twice is the same span. Content and
users are never in it.
"""

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from loop_platform.records import Call, Record
from loop_platform.settings import ExportSettings
from loop_platform.sources.genai_spans import OWN_MARK
from loop_platform.sources.intake import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES

_OPERATIONS = {
    CHAT: "chat",
    RESPONSES: "chat",
    COMPLETIONS: "text_completion",
    EMBEDDINGS: "embeddings",
}
_AT_ONCE = 256
_RESOURCE = Resource({"service.name": "loop-gateway"})


class _Asked(msgspec.Struct):
    model: str | None = None


_asked = msgspec.json.Decoder(_Asked)


class CollectorAwayError(ConnectionError):
    """The collector did not take the spans: they are sent again."""


class SpanExport:
    """`take` for `Following`: sends the gateway's own calls."""

    def __init__(self, settings: ExportSettings) -> None:
        self._endpoint = settings.otlp_traces
        self._exporter = OTLPSpanExporter(
            endpoint=settings.otlp_traces,
            headers=settings.otlp_headers,
            timeout=settings.otlp_timeout_s,
            compression=Compression.Gzip,
        )

    def take(self, connection: sa.Connection, records: Iterable[Record]) -> None:
        """Returns when the collector has them.

        Raises:
            CollectorAwayError: it has not.
        """
        made = [span(r) for r in records if isinstance(r, Call) and r.source == "gateway"]
        for start in range(0, len(made), _AT_ONCE):
            if (
                self._exporter.export(made[start : start + _AT_ONCE])
                is not SpanExportResult.SUCCESS
            ):
                raise CollectorAwayError(f"the collector {self._endpoint} takes no spans")

    def stop(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's slip


def span(call: Call) -> ReadableSpan:
    """The span of a call, from the gateway's side."""
    operation = _OPERATIONS.get(call.endpoint, call.endpoint)
    model = _model(call)
    return ReadableSpan(
        name=f"{operation} {model}" if model else operation,
        context=_context(call.call_id),
        kind=SpanKind.CLIENT,
        resource=_RESOURCE,
        attributes={
            name: value
            for name, value in _attributes(call, operation, model).items()
            if value is not None
        },
        status=Status(StatusCode.UNSET) if _well(call) else Status(StatusCode.ERROR, call.error),
        start_time=int(call.started_at * 1e9),
        end_time=int(call.started_at * 1e9 + call.latency_ms * 1e6),
    )


def _attributes(call: Call, operation: str, model: str | None) -> dict[str, Any]:
    first = call.first_byte_ms if call.streamed else None
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "loop",
        "gen_ai.request.model": model,
        "gen_ai.request.stream": call.streamed,
        "gen_ai.response.model": call.release,
        "gen_ai.response.time_to_first_chunk": None if first is None else first / 1000,
        "gen_ai.usage.input_tokens": call.prompt_tokens,
        "gen_ai.usage.output_tokens": call.completion_tokens,
        "gen_ai.conversation.id": call.session,
        "http.response.status_code": call.status,
        "error.type": None if _well(call) else str(call.status if call.status >= 400 else "cut"),
        OWN_MARK: call.call_id,
        "loop.pair_id": call.pair_id,
        "loop.tenant": call.tenant,
        "loop.task": call.task,
        "loop.release": call.release,
        "loop.route": call.route,
    }


def _well(call: Call) -> bool:
    return call.complete and call.status < 400


def _model(call: Call) -> str | None:
    try:
        return _asked.decode(call.request).model
    except msgspec.DecodeError:  # a body that no engine took either
        return None


def _context(call_id: str) -> SpanContext:
    digest = hashlib.blake2s(call_id.encode(), digest_size=8).digest()
    return SpanContext(
        trace_id=uuid.UUID(call_id).int,
        span_id=int.from_bytes(digest, "big") or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
