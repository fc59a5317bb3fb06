"""What a caller asked for, and the same as the engine gets it: another `model`, log-probabilities
and token counts asked for, every other value as it came.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from loop_platform.gateway.incoming import Headers, decoded
from loop_platform.gateway.redaction import Redaction
from loop_platform.gateway.refusals import bad_request
from loop_platform.gateway.tasks import task_of
from loop_platform.settings import GatewaySettings

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"

LONGEST_NAME = 256

_TRUE = msgspec.Raw(b"true")
_ONE = msgspec.Raw(b"1")
_NULL = msgspec.Raw(b"null")

_KEPT_BY_ENGINE = ("previous_response_id", "conversation", "background")
"""What ties a response to the engine that keeps its state. `store` alone does not: the official
clients leave it at true, and vLLM does not heed it."""


class EngineRequest(msgspec.Struct, frozen=True):
    """The fields that the gateway itself looks at."""

    model: str
    stream: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    stream_options: dict[str, msgspec.Raw] | None = None


_known = msgspec.json.Decoder(EngineRequest)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Asked:
    endpoint: str
    body: bytes
    """As the caller sent it, on one line."""
    model: str
    stream: bool
    task: str
    session: str | None
    user: str | None
    fields: dict[str, msgspec.Raw]
    """Of the body that the engine gets, but for `model`."""
    hidden: Redaction
    """What the engine is asked for beyond what the caller asked for."""
    sent: bytes
    """The body to the byte."""
    on_trial: bool = True
    """Whether a canary may answer, and a shadow get a copy."""

    def for_engine(self, model: str) -> bytes:
        """The body that asks the engine for the model it serves as `model`: the caller's own bytes
        where nothing has to change."""
        if model == self.model and not (self.hidden.logprobs or self.hidden.usage):
            return self.sent
        return msgspec.json.encode({**self.fields, "model": model})


def asked(endpoint: str, body: bytes, headers: Headers, settings: GatewaySettings) -> Asked:
    """Reads a request; `RefusedError` (400) where it cannot be one."""
    known = decoded(_known, body)
    fields = _fields.decode(body)
    hidden = Redaction(False, False)
    if settings.capture_logprobs and endpoint in (CHAT, COMPLETIONS):
        hidden = Redaction(_ask_logprobs(endpoint, fields), _ask_usage(known, fields))
    metadata = known.metadata or {}
    alias = task_of(known.model, settings.tasks_by_model) or settings.default_task
    task = _header(headers, b"x-loop-task") or name_of(metadata.get("task"), "metadata.task")
    session = _header(headers, b"x-loop-session")
    return Asked(
        endpoint=endpoint,
        body=_on_one_line(body),
        model=known.model,
        stream=bool(known.stream),
        task=task or alias,
        session=session or name_of(metadata.get("session"), "metadata.session"),
        user=name_of(known.user, "user"),
        fields=fields,
        hidden=hidden,
        sent=body,
        on_trial=endpoint in (CHAT, COMPLETIONS) or _on_trial(endpoint, fields),
    )


def _on_trial(endpoint: str, fields: dict[str, msgspec.Raw]) -> bool:
    """Vectors of two models cannot be compared, so embeddings stay with the champion; so does a
    response that goes on from what an engine keeps."""
    if endpoint == EMBEDDINGS:
        return False
    wishes = (bytes(fields.get(name, _NULL)) for name in _KEPT_BY_ENGINE)
    return all(wish in (b"null", b"false") for wish in wishes)


def name_of(value: object, param: str) -> str | None:
    """A short text without control characters, or nothing."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
        raise bad_request(
            f"`{param}` has to be a printable text of at most {LONGEST_NAME} characters", param
        )
    return value


def _header(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    return name_of(value.decode("utf-8", "replace").strip(), name.decode())


def _ask_logprobs(endpoint: str, fields: dict[str, msgspec.Raw]) -> bool:
    """Asks for log-probabilities; False where the caller's own wish stands."""
    wish = bytes(fields.get("logprobs", _NULL))
    if endpoint == CHAT:
        if wish == b"true" or bytes(fields.get("top_logprobs", _NULL)) != b"null":
            return False
        fields["logprobs"] = _TRUE
        return True
    if wish != b"null":
        return False
    fields["logprobs"] = _ONE
    return True


def _ask_usage(known: EngineRequest, fields: dict[str, msgspec.Raw]) -> bool:
    """Asks for the token counts at the end of a stream, which have to be asked for."""
    options = known.stream_options or {}
    if not known.stream or bytes(options.get("include_usage", _NULL)) == b"true":
        return False
    options["include_usage"] = _TRUE
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return True


def _on_one_line(body: bytes) -> bytes:
    """A line break in JSON can only be between values: the journal has one record a line."""
    if b"\n" in body or b"\r" in body:
        return msgspec.json.format(body, indent=-1)
    return body
