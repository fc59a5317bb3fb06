"""`GET /healthz`: does this worker work as it should; `GET /readyz`: can it answer calls."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from loop_platform.gateway.parts import Parts


class Health:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def healthy(self, request: Request) -> Response:
        """503 when a part of the worker ended of itself: restart it then."""
        dead = self._parts.dead()
        body = {
            "status": "broken" if dead else "ok",
            "dead": dead,
            "unwritten_records": self._parts.journal.unwritten,
            "mirror": asdict(self._parts.mirror.counts) | {"waiting": self._parts.mirror.waiting},
        }
        return JSONResponse(body, 503 if dead else 200)

    async def ready(self, request: Request) -> Response:
        """503 until the keys are read and a champion is routed."""
        routes = self._parts.routes.current
        keys = self._parts.keys.loaded
        champion = None if routes.champion is None else routes.champion.release
        ready = keys and champion is not None
        body = {"ready": ready, "keys": keys, "champion": champion}
        return JSONResponse(body, 200 if ready else 503)
