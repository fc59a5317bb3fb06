"""The front of every request: who asks, and what the body says."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.types import Receive, Scope

from loop_platform.gateway.refusals import RefusedError, bad_request, unavailable
from loop_platform.keys import Key, KeyRing, Role

Headers = Mapping[bytes, bytes]

T = TypeVar("T")


class CallerGoneError(ConnectionError):
    """The caller hung up."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers, names in lower case."""
    return dict(scope["headers"])


async def authorised(headers: Headers, keys: KeyRing, role: Role) -> Key:
    """The key that the request carries, if it may do what `role` may."""
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise RefusedError(
            401, "there is no API key: send `Authorization: Bearer loop_…`", code="invalid_api_key"
        )
    key = keys.find(text) or await keys.find_new(text)
    if key is None and not keys.loaded:
        raise unavailable("the API keys are not read yet: the database is away", "starting", 1)
    if key is None:
        shown = text if len(text) < 12 else f"{text[:9]}…"
        raise RefusedError(
            401, f"{shown!r} is no API key in use: ask an admin for one", code="invalid_api_key"
        )
    if not key.may(role):
        raise RefusedError(
            403,
            f"this API key has the role {key.role!r}; this takes {role!r} or more",
            code="insufficient_role",
        )
    return key


async def body_of(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _rest_of(body, receive, limit)
    elif message["type"] == "http.disconnect":
        raise CallerGoneError
    if len(body) > limit:
        raise _too_large(limit)
    return body


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """The body as what the decoder makes of it; 400 where it cannot."""
    try:
        str(body, "utf-8")  # the decoder does not look into what it copies unread
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise bad_request(f"the body is not as expected: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the body is no JSON: {error}") from error


async def _rest_of(body: bytes, receive: Receive, limit: int) -> bytes:
    collected = bytearray(body)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        collected += message.get("body", b"")
        if len(collected) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return bytes(collected)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(
        413, f"the body is larger than the {limit} bytes allowed", code="request_too_large"
    )
