"""Traces of teams that keep their own gateway: the spans that ask a model become calls, once."""

import gzip
import json
import time
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
import sqlalchemy as sa
from google.rpc.status_pb2 import Status
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from loop_platform import manifest
from loop_platform.defs.resources import resources
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform_tests.gateway.loop import Loop, eventually
from loop_platform_tests.gateway.test_journal import room_for
from loop_platform_tests.segments import await_steady_hour

ASKED = [
    {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
]
ANSWERED = [
    {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Rainy, 57°F"}],
        "finish_reason": "stop",
    }
]
CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.stream": True,
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.model": "gpt-4-0613",
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.usage.input_tokens": 52,
    "gen_ai.usage.output_tokens": 47,
    "gen_ai.conversation.id": "conv-1",
    "user.id": "u1",
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
    "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(ANSWERED),
}


def spans(
    *attributes: dict[str, Any], resource: dict[str, Any] | None = None
) -> list[ReadableSpan]:
    """Spans as an instrumented application makes them."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(resource or {}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    for each in attributes:
        with tracer.start_as_current_span("span", kind=trace.SpanKind.CLIENT, attributes=each):
            pass
    return list(kept.get_finished_spans())


def export(
    loop: Loop, made: list[ReadableSpan], compression: Compression = Compression.NoCompression
) -> SpanExportResult:
    """By OpenTelemetry's own exporter."""
    exporter = OTLPSpanExporter(
        endpoint=f"{loop.client.base_url}/v1/traces".replace("//v1", "/v1"),
        headers={"authorization": str(loop.client.headers["authorization"])},
        compression=compression,
        timeout=15,
    )
    try:
        return exporter.export(made)
    finally:
        exporter.shutdown()


def as_json(**more: Any) -> dict[str, Any]:
    """A request in OTLP's JSON, with ids in hexadecimal and times as texts."""
    start = time.time_ns() - 2_000_000_000
    attributes = [_pair(name, value) for name, value in (CHAT | more.pop("attributes", {})).items()]
    span = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-4",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_500_000_000),
        "attributes": attributes,
        "aFieldOfTheFuture": 1,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span | more]}]}]}


def _pair(name: str, value: object) -> dict[str, Any]:
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    given = str(value) if type(value) is int else value
    return {"key": name, "value": {kind[type(value)]: given}}


def send(loop: Loop, body: object, **headers: str) -> httpx.Response:
    given = {"content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return loop.client.post("/v1/traces", content=content, headers=given)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_a_chat_that_opentelemetrys_exporter_sends_becomes_a_call(
    loop: Loop, compression: Compression
):
    (span,) = made = spans(CHAT, resource={"loop.task": "weather"})
    assert export(loop, made, compression) is SpanExportResult.SUCCESS
    (call,) = loop.calls()
    assert (call.source, call.route, call.release) == ("otlp", "external", "imported")
    assert (call.tenant, call.task, call.session, call.user) == ("acme", "weather", "conv-1", "u1")
    assert (call.endpoint, call.status, call.complete) == ("/v1/chat/completions", 200, True)
    assert (call.streamed, call.first_byte_ms) == (True, 250.0)
    assert (call.prompt_tokens, call.completion_tokens) == (52, 47)
    assert span.start_time is not None
    assert abs(call.started_at - span.start_time / 1e9) < 0.001
    request, response = json.loads(bytes(call.request)), json.loads(call.response)
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris?"},
    ]
    assert (request["model"], request["temperature"]) == ("gpt-4", 0.5)
    assert response["model"] == "gpt-4-0613"
    (choice,) = response["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Rainy, 57°F"}
    assert choice["finish_reason"] == "stop"


def test_what_an_exporter_sends_again_is_one_call_of_telemetry(loop: Loop, database: sa.Engine):
    await_steady_hour()
    made = spans(CHAT, CHAT)
    for _ in range(3):
        assert export(loop, made) is SpanExportResult.SUCCESS
    (hour,) = {hour_of(call.call_id) for call in loop.calls()}

    def arrived() -> bool:
        with database.connect() as connection:
            return hour in manifest.pending_hours(connection)

    eventually(arrived)
    loop.parts.shipper.ship()  # type: ignore[union-attr]  # the gateway runs
    made_of = resources(loop.settings)
    dg.materialize([calls, feedback], partition_key=hour, resources=made_of)
    with database.connect() as connection:
        rows = manifest.calls(connection, Lake(loop.settings.lake)).collect()
    assert rows.height == 2
    assert rows["source"].to_list() == ["otlp", "otlp"]
    assert rows["answer"].to_list() == ["Rainy, 57°F"] * 2
    assert rows.filter(pl.col("messages").str.contains("Weather in Paris")).height == 2


def test_json_with_its_hexadecimal_ids_is_the_same_call_as_protobuf(loop: Loop):
    (span,) = made = spans(CHAT)
    export(loop, made)
    assert span.context is not None
    ids = {"traceId": f"{span.context.trace_id:032x}", "spanId": f"{span.context.span_id:016X}"}
    at = {"startTimeUnixNano": str(span.start_time), "endTimeUnixNano": str(span.end_time)}
    response = send(loop, as_json(**ids, **at))
    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["content-type"] == "application/json"
    (call,) = loop.calls()  # by their ids
    assert call.prompt_tokens == 52


def test_text_completions_and_embeddings_are_calls_and_other_spans_are_left(loop: Loop):
    plain = {name: value for name, value in CHAT.items() if name != "gen_ai.system_instructions"}
    text = plain | {"gen_ai.operation.name": "text_completion"}
    vector = plain | {"gen_ai.operation.name": "embeddings"}
    others = [
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "execute_tool"},
        {"http.request.method": "GET"},
        CHAT | {"loop.call_id": "what this gateway exported comes back"},
    ]
    assert export(loop, spans(text, vector, *others)) is SpanExportResult.SUCCESS
    calls = {call.endpoint: call for call in loop.calls()}
    assert set(calls) == {"/v1/completions", "/v1/embeddings"}
    assert json.loads(bytes(calls["/v1/completions"].request))["prompt"] == "Weather in Paris?"
    assert json.loads(calls["/v1/completions"].response)["choices"][0]["text"] == "Rainy, 57°F"


def test_a_refused_span_costs_the_others_nothing_and_is_named(loop: Loop):
    wrong = as_json(spanId="00000000000000ff", attributes={"gen_ai.usage.input_tokens": -1})
    early = as_json(spanId="00000000000000fe", startTimeUnixNano="17", endTimeUnixNano="18")
    body = as_json()
    body["resourceSpans"] += wrong["resourceSpans"] + early["resourceSpans"]
    response = send(loop, body)
    assert response.status_code == 200
    told = response.json()["partialSuccess"]
    assert told["rejectedSpans"] == "2"
    assert "00000000000000ff: its prompt_tokens is -1" in told["errorMessage"]
    assert "00000000000000fe" in told["errorMessage"]
    assert len(loop.calls()) == 1


def test_a_failed_call_has_its_status_and_reason(loop: Loop):
    status = {"code": 2, "message": "rate limited"}
    kinds = ("429", "RateLimitError", "openai.RateLimitError")
    for number, kind in enumerate(kinds):
        span = {"spanId": f"{number + 1:016x}", "status": status}
        send(loop, as_json(**span, attributes={"error.type": kind}))
    send(loop, as_json(attributes={"error.type": "OSError"}))
    calls = sorted(loop.calls(), key=lambda call: call.status)
    assert [call.status for call in calls] == [429, 429, 429, 500]
    assert (calls[0].complete, calls[0].error) == (False, "rate limited")
    assert calls[3].error == "it failed: OSError"


def test_numbers_that_some_send_as_other_kinds_are_understood(loop: Loop):
    send(loop, as_json(attributes={"user.id": 7, "gen_ai.usage.input_tokens": 52.0}))
    assert [(call.user, call.prompt_tokens) for call in loop.calls()] == [("7", 52)]


def test_the_model_names_the_task_where_nothing_else_does(loop: Loop):
    send(loop, as_json(attributes={"gen_ai.request.model": "home"}))
    assert [call.task for call in loop.calls()] == ["home-commands"]


def test_a_body_that_is_no_traces_is_refused_as_the_protocol_wants_it(loop: Loop):
    protobuf = send(loop, b"\xff\xff", content_type="application/x-protobuf")
    assert protobuf.status_code == 400
    assert protobuf.headers["content-type"] == "application/x-protobuf"
    assert "ExportTraceServiceRequest" in Status.FromString(protobuf.content).message
    bodies = [
        b"{",
        b"[]",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [[]]}',
        b"[" * 100_000,
        b'{"\\ud800": 1}',
    ]
    for body in [*bodies, json.dumps(as_json(traceId="xyz")).encode()]:
        response = send(loop, body)
        assert response.status_code == 400, body[:50]
        assert response.json()["message"]
    cut = gzip.compress(json.dumps(as_json()).encode())[:-9]
    assert send(loop, cut, content_encoding="gzip").status_code == 400
    assert send(loop, b"no gzip", content_encoding="gzip").status_code == 400
    assert send(loop, b"{}", content_encoding="br").status_code == 415
    assert send(loop, b"{}", content_type="text/plain").status_code == 415
    assert loop.calls() == []


def test_a_body_that_unpacks_to_too_much_is_refused(loop: Loop):
    bomb = gzip.compress(b" " * (loop.settings.gateway.max_traces_bytes + 1))
    assert len(bomb) < 100_000
    assert send(loop, bomb, content_encoding="gzip").status_code == 413


def test_traces_need_a_key(loop: Loop):
    loop.client.headers["authorization"] = "Bearer loop_none_none"
    response = send(loop, as_json())
    assert response.status_code == 401
    assert "no API key in use" in response.json()["message"]


def test_an_empty_request_is_a_success(loop: Loop):
    response = send(loop, b"", content_type="application/x-protobuf")
    assert response.status_code == 200
    assert (
        ExportTraceServiceResponse.FromString(response.content).partial_success.rejected_spans == 0
    )


def test_a_full_disk_has_the_exporter_come_again(loop: Loop):
    body = as_json(attributes={"gen_ai.input.messages": "x" * 5000})
    with room_for(2000):
        response = send(loop, body)
        assert response.status_code == 503
        assert "retry-after" in response.headers
    assert send(loop, body).status_code == 200
    assert len(loop.calls()) == 1
