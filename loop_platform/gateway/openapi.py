"""`GET /openapi.json`: what the gateway answers, for clients that are generated and for fuzzers.

The bodies that it reads itself are described by the types that read them. Of the requests that go
on to an engine it says what the gateway looks at; the rest is the engine's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from loop_platform.gateway.asked import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, EngineRequest
from loop_platform.gateway.feedback import LARGEST_BATCH
from loop_platform.gateway.given import RATINGS, Contributed, Given, LinkWanted

Schema = Mapping[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_HTML = "text/html"

_TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array"}]}
_FORM: Schema = {
    "type": "object",
    "properties": {"rating": {"enum": list(RATINGS)}},
    "required": ["rating"],
}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_TEXT: Schema = {"type": "string"}
_NANOSECONDS: Schema = {"type": "string", "pattern": "^[0-9]{1,19}$"}
_ATTRIBUTES = _list(
    _object(
        key=_TEXT,
        value=_object(
            stringValue=_TEXT,
            intValue={"type": "integer"},
            doubleValue={"type": "number"},
            boolValue={"type": "boolean"},
            arrayValue=_object(values=_list(_object(stringValue=_TEXT))),
        ),
    )
)
_MESSAGES = _list({**_object(role=_TEXT, content={}), "required": ["role"]})
_SPAN = _object(
    traceId={"type": "string", "pattern": "^[0-9a-f]{32}$"},
    spanId={"type": "string", "pattern": "^[0-9a-f]{16}$"},
    name=_TEXT,
    startTimeUnixNano=_NANOSECONDS,
    endTimeUnixNano=_NANOSECONDS,
    attributes=_ATTRIBUTES,
    events=_list(_object(name=_TEXT, attributes=_ATTRIBUTES)),
    status=_object(code={"enum": [0, 1, 2]}, message=_TEXT),
)
_TRACES = _object(
    resourceSpans=_list(
        _object(
            resource=_object(attributes=_ATTRIBUTES),
            scopeSpans=_list(_object(spans=_list(_SPAN))),
        )
    )
)
_BYTES: Schema = {"type": "string", "format": "binary"}


class Refused(msgspec.Struct):
    """Why, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(msgspec.Struct):
    error: Refused


class Received(msgspec.Struct):
    feedback_id: str


class Told(msgspec.Struct, omit_defaults=True):
    """What became of an item of a batch."""

    status: int
    feedback_id: str | None = None
    error: Refused | None = None


class Batch(msgspec.Struct):
    accepted: int
    refused: int
    items: list[Told]


class Link(msgspec.Struct):
    url: str
    expires_at: int
    ratings: list[int]


_TYPES = (EngineRequest, Given, Contributed, LinkWanted, Error, Received, Batch, Link)


@dataclass(frozen=True)
class Operation:
    """What one method of one path takes and gives."""

    method: str
    path: str
    summary: str
    body: "Mapping[str, Schema] | None" = None
    """By media type."""
    status: int = 200
    """Where it goes well."""
    answer: "Mapping[str, Schema] | None" = None
    role: str | None = None
    """That the key has to have, or more; None where no key is asked for."""
    parameters: tuple[Schema, ...] = ()
    refusal: str = _JSON
    """Media type of what is answered otherwise."""

    def described(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        answer = self.answer or {_JSON: {}}
        refusal = {_JSON: _ref(Error)} if self.refusal == _JSON else {self.refusal: {}}
        said: dict[str, Any] = {
            "summary": self.summary,
            "responses": {
                str(self.status): {"description": "it went well", "content": _content(answer)},
                "default": {"description": "why not", "content": _content(refusal)},
            },
        }
        if self.role is not None:
            said["security"] = [{"key": []}]
            said["description"] = f"Takes a key of the role {self.role} or more."
        if self.body is not None:
            said["requestBody"] = {"required": True, "content": _content(self.body)}
        if self.parameters:
            said["parameters"] = list(self.parameters)
        return said


def _ref(kind: type) -> Schema:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _content(kinds: "Mapping[str, Schema]") -> dict[str, Any]:
    return {kind: {"schema": schema} if schema else {} for kind, schema in kinds.items()}


def _asked(**fields: Schema) -> "dict[str, Schema]":
    """A request that goes on to an engine."""
    return {_JSON: {"allOf": [_ref(EngineRequest), _object(**fields)]}}


def _many(kind: type) -> "dict[str, Schema]":
    return {_JSON: {"type": "array", "items": _ref(kind), "minItems": 1, "maxItems": LARGEST_BATCH}}


def _named(name: str) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


_CHOSEN: Schema = {"name": "rating", "in": "query", "schema": {"enum": list(RATINGS)}}
_STREAMED: "Mapping[str, Schema]" = {_JSON: {}, "text/event-stream": {}}
_PAGE: "Mapping[str, Schema]" = {_HTML: {}}

OPERATIONS = (
    Operation(
        *("post", CHAT, "Answer a conversation"),
        body=_asked(messages=_MESSAGES),
        answer=_STREAMED,
        role="caller",
    ),
    Operation(
        *("post", COMPLETIONS, "Complete a text"),
        body=_asked(prompt=_TEXTS),
        answer=_STREAMED,
        role="caller",
    ),
    Operation(
        *("post", RESPONSES, "Answer, by the Responses API"),
        body=_asked(input=_TEXTS),
        answer=_STREAMED,
        role="caller",
    ),
    Operation(
        *("post", EMBEDDINGS, "Embed texts"),
        body=_asked(input=_TEXTS),
        role="caller",
    ),
    Operation("get", "/v1/models", "The names to ask for", role="caller"),
    Operation(
        *("get", "/v1/models/{model}", "One of them"),
        role="caller",
        parameters=(_named("model"),),
    ),
    Operation(
        *("post", "/v1/feedback", "Say something of a call"),
        body={_JSON: _ref(Given)},
        status=202,
        answer={_JSON: _ref(Received)},
        role="contributor",
    ),
    Operation(
        *("post", "/v1/feedback/batch", "Say something of many calls"),
        body=_many(Given),
        status=202,
        answer={_JSON: _ref(Batch)},
        role="contributor",
    ),
    Operation(
        *("post", "/v1/feedback/links", "Make a link by which an end user rates a call"),
        body={_JSON: _ref(LinkWanted)},
        status=201,
        answer={_JSON: _ref(Link)},
        role="contributor",
    ),
    Operation(
        *("get", "/v1/feedback/{feedback_id}", "Where a feedback is on its way"),
        role="contributor",
        parameters=(_named("feedback_id"),),
    ),
    Operation(
        *("post", "/v1/contributions", "Give an example"),
        body={_JSON: _ref(Contributed)},
        status=202,
        answer={_JSON: _ref(Received)},
        role="contributor",
    ),
    Operation(
        *("post", "/v1/contributions/batch", "Give many examples"),
        body=_many(Contributed),
        status=202,
        answer={_JSON: _ref(Batch)},
        role="contributor",
    ),
    Operation(
        *("post", "/v1/traces", "Tell of calls that went elsewhere, in OTLP"),
        body={_JSON: _TRACES, "application/x-protobuf": _BYTES},
        answer={_JSON: {}, "application/x-protobuf": {}},
        role="caller",
    ),
    Operation(
        *("get", "/rate/{token}", "The choice of ratings that a link gives"),
        answer=_PAGE,
        parameters=(_named("token"), _CHOSEN),
        refusal=_HTML,
    ),
    Operation(
        *("post", "/rate/{token}", "Rate"),
        body={"application/x-www-form-urlencoded": _FORM},
        status=202,
        answer=_PAGE,
        parameters=(_named("token"),),
        refusal=_HTML,
    ),
    Operation("get", "/metrics", "For Prometheus", answer={"text/plain": {}}, role="admin"),
    Operation("get", "/healthz", "Does this worker work as it should"),
    Operation("get", "/readyz", "Can it answer calls"),
    Operation("get", "/openapi.json", "This"),
)


def description() -> dict[str, Any]:
    """The whole surface, as OpenAPI 3.1."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = operation.described()
    return {
        "openapi": "3.1.0",
        "info": {"title": "loop_platform's gateway", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


class OpenApi:
    def __init__(self) -> None:
        self._text = msgspec.json.encode(description())

    async def show(self, request: Request) -> Response:
        return Response(self._text, media_type=_JSON)
