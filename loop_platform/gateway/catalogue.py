"""`GET /v1/models`: the names that a caller can ask for."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from loop_platform.gateway.incoming import authorised, headers_of
from loop_platform.gateway.parts import Parts
from loop_platform.gateway.refusals import RefusedError


class Catalogue:
    """The alias `loop`, which is always the release that the routes choose; the names that the
    settings give to tasks; and the releases that serve, for those who want that one and no other.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def list(self, request: Request) -> Response:
        names = await self._names(request)
        return _json({"object": "list", "data": [_model(name) for name in names]})

    async def get(self, request: Request) -> Response:
        name: str = request.path_params["model"]
        if name not in await self._names(request):
            raise RefusedError(
                404, f"the model {name!r} does not exist", code="model_not_found", param="model"
            )
        return _json(_model(name))

    async def _names(self, request: Request) -> "tuple[str, ...]":
        await authorised(headers_of(request.scope), self._parts.keys, "caller")
        serving = self._parts.routes.current.serving()
        return (*self._parts.dispatch.aliases, *(target.release for target in serving))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "loop"}


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
