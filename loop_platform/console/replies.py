"""What the console answers with: JSON, pages, refusals."""

from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from loop_platform.console.words import FILTERS

templates = Jinja2Templates(Path(__file__).parent / "templates")
templates.env.filters.update(FILTERS)
templates.env.trim_blocks = True
templates.env.lstrip_blocks = True


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)


def json(content: object, status: int = 200) -> Response:
    """`content` as JSON; dataclasses and times too."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def markdown(text: str) -> Response:
    return Response(text, media_type="text/markdown")


def page(request: Request, name: str, context: dict[str, Any], status: int = 200) -> Response:
    return templates.TemplateResponse(request, name, context, status_code=status)


def refusal(request: Request, status: int, message: str) -> Response:
    """In the form that the asker reads."""
    if request.url.path.startswith(("/api/", "/fragments/")):
        return json({"error": {"message": message}}, status)
    return page(request, "refusal.html", {"status": status, "message": message}, status)
