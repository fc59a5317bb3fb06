"""Who is at the console: an API key, in a header or in a cookie that only this server reads."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from loop_platform.console.replies import Refused, refusal
from loop_platform.keys import Key, KeyRing, Role
from loop_platform.lake import Lake
from loop_platform.settings import Settings

COOKIE = "loop_console"

_MAX_BODY = 1 << 20


@dataclass(frozen=True)
class Console:
    """What the pages are made from."""

    settings: Settings
    database: sa.Engine
    lake: Lake
    keys: KeyRing


@dataclass(frozen=True)
class Visit:
    """One request of somebody who may make it."""

    request: Request
    key: Key
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def console(self) -> Console:
        return console_of(self.request)

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def asked(self, name: str) -> str | None:
        """A query parameter; an empty one is none."""
        return self.request.query_params.get(name, "").strip() or None

    def number(self, name: str, default: int, most: int) -> int:
        text = self.asked(name)
        if text is None:
            return default
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise Refused(400, f"{name} is {text!r}; give a number from 1 to {most}")
        return int(text)


Handler = Callable[[Visit], Response]

Endpoint = Callable[[Request], Awaitable[Response]]


def console_of(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


def needs(role: Role) -> Callable[[Handler], Endpoint]:
    """Lets in who has this role; runs the handler in a thread, for it waits for the database."""

    def decorate(handler: Handler) -> Endpoint:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            key = await visitor(request)
            if key is None:
                return _stranger(request)
            if not key.may(role):
                return refusal(request, 403, f"this needs the role {role}; your key is {key.role}")
            body = await _body(request) if request.method == "POST" else {}
            return await run_in_threadpool(handler, Visit(request, key, body))

        return endpoint

    return decorate


async def visitor(request: Request) -> Key | None:
    """The key that a request carries, if it is one in use."""
    text = _presented(request)
    return None if text is None else await console_of(request).keys.find_new(text)


def _presented(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.cookies.get(COOKIE)


def _stranger(request: Request) -> Response:
    if request.url.path.startswith("/api/"):
        return refusal(request, 401, "give an API key: `Authorization: Bearer loop_…`")
    if request.url.path.startswith("/fragments/"):
        return refusal(request, 401, "your session is over: sign in again")
    return RedirectResponse(f"/login?then={quote(request.url.path)}", status_code=303)


async def _body(request: Request) -> dict[str, Any]:
    # A page elsewhere can make a browser send forms with our cookie, but not this type.
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise Refused(415, f"the body's type is {kind or 'not given'!r}; send application/json")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_BODY:
            raise Refused(413, f"the body is longer than {_MAX_BODY} bytes")
    try:
        return msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Refused(400, f"the body is not a JSON object: {error}") from error
