"""A collector of spans, as small as it can be: keeps what it is sent, or is away."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.types import Receive, Scope, Send

from loop_platform.sources.otlp import Span, spans, unpacked


class Collector:
    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.spans: list[Span] = []
        self.names: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.asked += 1
        if not self.away:
            content = unpacked(body, 2**20)
            self.spans += spans(content, "protobuf")
            request = ExportTraceServiceRequest.FromString(content)
            of_scopes = [s for r in request.resource_spans for s in r.scope_spans]
            self.names += [span.name for of in of_scopes for span in of.spans]
        # 400 is not tried again by the exporter itself.
        status = 400 if self.away else 200
        headers = [(b"content-type", b"application/x-protobuf")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
