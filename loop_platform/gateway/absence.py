"""What an engine means by "not found": the release, the endpoint, or something of the caller's."""

import msgspec

from loop_platform.gateway.asked import CHAT, COMPLETIONS

_NOT_FOUND = 404
_NOT_IMPLEMENTED = 501


class _Error(msgspec.Struct, frozen=True):
    message: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error | None = None


_body = msgspec.json.Decoder(_Body)


def absence(status: int, endpoint: str, model: str, said: bytes) -> str | None:
    """What to tell the caller, where what is missing is not the release.

    Every engine has the two completions endpoints, so that a 404 there says that the engine does
    not serve the release: it is as good as away. Elsewhere it says so only where it speaks of a
    model; a response that the engine does not keep, or an endpoint that it does not have, is the
    caller's to know.
    """
    if status == _NOT_FOUND:
        of_release = b"model" in said or model.encode() in said
        if endpoint in (CHAT, COMPLETIONS) or of_release:
            return None
    elif status != _NOT_IMPLEMENTED:
        return None
    return _message(said) or f"the engine has no {endpoint}"


def _message(said: bytes) -> str | None:
    try:
        error = _body.decode(said).error
    except msgspec.DecodeError:
        return None
    return error.message if error is not None else None
