"""The console: pages for people, and the same as JSON under /api."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from loop_platform.console import calls, cycles, pairs, releases, replies, review, status
from loop_platform.console.replies import Refused
from loop_platform.console.session import COOKIE, Console, console_of, visitor
from loop_platform.keys import KeyRing
from loop_platform.lake import Lake
from loop_platform.settings import Settings

_STATIC = Path(__file__).parent / "static"

_ROUTES = [
    Route("/", status.page),
    Route("/fragments/overview", status.fragment),
    Route("/review", review.page),
    Route("/fragments/review", review.fragment),
    Route("/pairs", pairs.page),
    Route("/fragments/pair", pairs.fragment),
    Route("/calls", calls.page),
    Route("/calls/{call_id}", calls.one_page),
    Route("/releases", releases.list_page),
    Route("/releases/{release}", releases.page),
    Route("/cycles", cycles.page),
    Route("/api/status", status.status),
    Route("/api/drift", status.drift),
    Route("/api/review/next", review.next_item),
    Route("/api/review/items", review.items),
    Route("/api/review/{item_id}/decision", review.decision, methods=["POST"]),
    Route("/api/pairs/next", pairs.next_pair),
    Route("/api/pairs/{pair_id}/verdict", pairs.verdict, methods=["POST"]),
    Route("/api/calls", calls.listing),
    Route("/api/releases", releases.listing),
    Route("/api/releases/{release}", releases.one),
    Route("/api/releases/{release}/card", releases.card),
    *(
        Route(f"/api/releases/{{release}}/{name}", releases.mover(name), methods=["POST"])
        for name in releases.MOVES_BY_NAME
    ),
    Route("/api/cycles", cycles.listing),
]


def create_app(settings: Settings, database: sa.Engine) -> Starlette:
    """The console on these settings and this database."""
    console = Console(settings, database, Lake(settings.lake), KeyRing(database))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        console.keys.start()
        yield
        console.keys.stop()

    app = Starlette(
        routes=[
            *_ROUTES,
            Route("/login", _sign_in, methods=["GET", "POST"]),
            Route("/logout", _sign_out, methods=["POST"]),
            Route("/healthz", _alive),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={Refused: _refused, sa.exc.OperationalError: _database_away},
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guarded)],
        lifespan=lifespan,
    )
    app.state.console = console
    return app


async def _alive(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _sign_in(request: Request) -> Response:
    """Keeps the key in a cookie that scripts cannot read and other sites cannot send."""
    then = _own_path(request.query_params.get("then", "/"))
    if request.method == "GET":
        return replies.page(request, "login.html", {"then": then, "message": None})
    text = parse_qs((await request.body()).decode()).get("key", [""])[0].strip()
    key = await console_of(request).keys.find_new(text)
    if key is None or not key.may("reviewer"):
        message = "No such key." if key is None else f"Your key is of the role {key.role}."
        context = {"then": then, "message": f"{message} Reviewers and admins may come in."}
        return replies.page(request, "login.html", context, 403)
    answer = RedirectResponse(then, status_code=303)
    answer.set_cookie(COOKIE, text, max_age=30 * 86400, httponly=True, samesite="strict")
    return answer


async def _sign_out(request: Request) -> Response:
    answer = RedirectResponse("/login", status_code=303)
    if await visitor(request) is not None:
        answer.delete_cookie(COOKIE)
    return answer


def _own_path(path: str) -> str:
    """`path`, unless it leads to another site."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


async def _guarded(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Nothing is loaded from elsewhere, and nobody frames these pages."""
    answer = await call_next(request)
    answer.headers["Content-Security-Policy"] = (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        " frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    if not request.url.path.startswith("/static/"):
        answer.headers["Cache-Control"] = "no-store"
    return answer


async def _refused(request: Request, error: Exception) -> Response:
    status, message = error.args
    return replies.refusal(request, status, message)


async def _database_away(request: Request, error: Exception) -> Response:
    answer = replies.refusal(request, 503, "the database does not answer; try again in a moment")
    answer.headers["Retry-After"] = "2"
    return answer
