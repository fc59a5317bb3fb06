"""The gateway as an ASGI application."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from loop_platform.gateway.asked import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from loop_platform.gateway.catalogue import Catalogue
from loop_platform.gateway.completions import Completions
from loop_platform.gateway.feedback import FeedbackDesk
from loop_platform.gateway.health import Health
from loop_platform.gateway.idempotency import Idempotent
from loop_platform.gateway.incoming import CallerGoneError
from loop_platform.gateway.metrics import Metrics
from loop_platform.gateway.openapi import OpenApi
from loop_platform.gateway.parts import Parts, parts
from loop_platform.gateway.rating_page import RatingPage
from loop_platform.gateway.refusals import RefusedError, broken, refused
from loop_platform.gateway.short_way import ShortWay
from loop_platform.gateway.traces import TraceDesk
from loop_platform.settings import Settings


def create_app(settings: Settings) -> ASGIApp:
    """The application of one worker, which starts and stops with the server."""
    return app_of(parts(settings))


def app_of(gateway: Parts) -> ASGIApp:
    return ShortWay(_app_of(gateway))


def _app_of(gateway: Parts) -> Starlette:
    desk = FeedbackDesk(gateway)
    rating = RatingPage(gateway, desk)
    catalogue = Catalogue(gateway)
    health = Health(gateway)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await gateway.start()
        # What is there by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()
        await gateway.stop()

    app = Starlette(
        routes=[
            *(
                Route(path, Idempotent(gateway, Completions(gateway, path)), methods=["POST"])
                for path in (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS)
            ),
            Route("/v1/models", catalogue.list),
            Route("/v1/models/{model:path}", catalogue.get),
            Route("/v1/feedback", desk.give, methods=["POST"]),
            Route("/v1/feedback/batch", desk.give_many, methods=["POST"]),
            Route("/v1/feedback/links", rating.link, methods=["POST"]),
            Route("/v1/feedback/{feedback_id}", desk.follow),
            Route("/v1/contributions", desk.contribute, methods=["POST"]),
            Route("/v1/contributions/batch", desk.contribute_many, methods=["POST"]),
            Route("/rate/{token}", rating.show),
            Route("/rate/{token}", rating.record, methods=["POST"]),
            Route("/v1/traces", TraceDesk(gateway).take, methods=["POST"]),
            Route("/metrics", Metrics(gateway).show),
            Route("/healthz", health.healthy),
            Route("/readyz", health.ready),
            Route("/openapi.json", OpenApi().show),
        ],
        exception_handlers={
            RefusedError: refused,
            HTTPException: refused,
            CallerGoneError: _nobody_there,
            Exception: broken,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # to wherever the caller's Host says
    return app


async def _nobody_there(request: Request, error: Exception) -> Response:
    """The caller hung up before its request was whole: this goes nowhere."""
    return Response(status_code=499)
