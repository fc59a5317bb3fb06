"""Puts engines to sleep for as long as somebody holds this program's standard input: whoever trains
on their GPU. Where that one is done, or dies, they are woken.

    python -m loop_platform.engine.nap http://127.0.0.1:8711 …

vLLM (sleep mode, level 1) first finishes what it is answering, then keeps its weights in main
memory and drops its cache. Calls that come meanwhile wait in it, and are answered when it wakes.
An engine that is not up has nothing to hand over and is passed by.
"""

import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus

ASLEEP = "asleep"
"""What is said, on a line of its own, once all of them sleep."""

_REQUEST_S = 600.0
"""An answer that is being given is finished first."""
_WAKING_S = 120.0
"""So long waking is tried: whoever trained may still hold the memory."""


def main(engines: list[str]) -> int:
    to_wake: list[str] = []
    asleep = 0
    failed = False
    try:
        for engine in engines:
            # Before it sleeps: one that answers too late may sleep all the same.
            to_wake.append(engine)
            asleep += _sleeps(engine)
        print(ASLEEP, asleep, flush=True)
        sys.stdin.read()
    except OSError as error:
        failed = True
        print(f"an engine was not put to sleep: {error}", file=sys.stderr)
    finally:
        woken = [_wakes(engine) for engine in to_wake]
    return 1 if failed or not all(woken) else 0


def _sleeps(engine: str) -> bool:
    """Put it to sleep; False where it is not up.

    Raises:
        OSError: it is up, and did not.
    """
    try:
        _post(f"{engine}/sleep?level=1&mode=wait")
    except urllib.error.HTTPError as error:
        raise OSError(f"{engine} answered {error.code} to /sleep") from error
    except urllib.error.URLError as error:
        if _is_down(error):
            return False
        raise
    return True


def _wakes(engine: str) -> bool:
    """Wake it, trying again while it fails; one that is gone comes back awake."""
    until = time.monotonic() + _WAKING_S
    while True:
        try:
            _post(f"{engine}/wake_up")
        except OSError as error:
            if _is_down(error) or getattr(error, "code", None) == HTTPStatus.NOT_FOUND:
                return True
            if time.monotonic() > until:
                print(f"{engine} was not woken: {error}", file=sys.stderr)
                return False
            time.sleep(0.5)
        else:
            return True


def _is_down(error: OSError) -> bool:
    return isinstance(getattr(error, "reason", None), ConnectionRefusedError)


def _post(url: str) -> None:
    request = urllib.request.Request(url, data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=_REQUEST_S) as response:
        response.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
