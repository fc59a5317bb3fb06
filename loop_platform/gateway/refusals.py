"""What a caller is told when there is no answer: OpenAI's error shape, so that its clients raise
their own exceptions and retry where that helps.
"""

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class RefusedError(Exception):
    """Ends a request with an HTTP status and a reason. `retry_after_s` says when to come again."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.retry_after_s = retry_after_s
        self.headers: dict[str, str] = {}

    def error(self) -> dict[str, str | None]:
        """The error in OpenAI's shape."""
        return {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }

    def body(self) -> bytes:
        """The error as JSON."""
        return msgspec.json.encode({"error": self.error()})

    def response(self) -> Response:
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        return Response(self.body(), self.status, headers, "application/json")


def bad_request(message: str, param: str | None = None) -> RefusedError:
    """400: the request itself is wrong."""
    return RefusedError(400, message, param=param)


def unavailable(message: str, code: str, retry_after_s: int = 2) -> RefusedError:
    """503: not now; the same request may succeed later."""
    return RefusedError(503, message, code=code, retry_after_s=retry_after_s)


async def refused(request: Request, error: Exception) -> Response:
    """Starlette's handler for `RefusedError`, and for its own 404 and 405."""
    if isinstance(error, HTTPException):
        # Not the request's URL: that has the caller's Host in it, which need not be one.
        message = f"{error.detail}: {request.method} {request.scope['path']}"
        refusal = RefusedError(error.status_code, message)
        refusal.headers.update(error.headers or {})
        return refusal.response()
    if not isinstance(error, RefusedError):
        raise error
    return error.response()


async def broken(request: Request, error: Exception) -> Response:
    """Starlette's handler for what nobody foresaw; the error itself goes to the log."""
    return defect()


def defect() -> Response:
    """The answer where there can be no other."""
    return RefusedError(500, "the gateway has a defect: see its log", code="defect").response()
