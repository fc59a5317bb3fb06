"""The way to the handlers that are called most: past Starlette, whose routing and middleware would
take a coroutine more for each piece of an answer.
"""

import contextlib

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from loop_platform.gateway.incoming import CallerGoneError
from loop_platform.gateway.refusals import RefusedError, defect


class ShortWay:
    """Answers as the application does; its routes that have raw ASGI handlers are called directly.

    A refusal that a handler raises ends its request as it does there; so does what nobody foresaw,
    which the server logs.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._handlers: dict[tuple[str, str], ASGIApp] = {
            (method, route.path): route.app
            for route in app.routes
            if isinstance(route, Route) and route.app is route.endpoint
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = None
        if scope["type"] == "http":
            handler = self._handlers.get((scope["method"], scope["path"]))
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            await handler(scope, receive, send)
        except RefusedError as error:
            await error.response()(scope, receive, send)
        except CallerGoneError:
            return  # it hung up before its request was whole
        except Exception:  # a defect: the caller is told that it is ours, and the server logs it
            with contextlib.suppress(RuntimeError):  # an answer that has begun takes no other
                await defect()(scope, receive, send)
            raise
