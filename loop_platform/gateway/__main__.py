"""`python -m loop_platform.gateway`: as many workers as the settings say, on one port."""

import multiprocessing
import os
import signal
import sys
import threading

import uvicorn
from starlette.types import ASGIApp

from loop_platform import logs
from loop_platform.gateway.app import create_app
from loop_platform.settings import settings

_GIVE_WAY_S = 0.0005
"""How long a thread beside the event loop may run Python while calls wait: a tenth of the
interpreter's own figure. The journal's shipper and the readers of the database are such threads."""


def worker() -> ASGIApp:
    """The application, in each worker process."""
    logs.configure(settings().export)
    sys.setswitchinterval(_GIVE_WAY_S)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return create_app(settings())


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    """A worker whose parent was killed would hold the port for ever."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    logs.configure(settings().export)
    uvicorn.run(
        "loop_platform.gateway.__main__:worker",
        factory=True,
        host=settings().host,
        port=settings().gateway.port,
        workers=settings().gateway.workers,
        loop="uvloop",
        http="loop_platform.gateway.protocol:BoundedProtocol",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        log_config=None,  # uvicorn's lines go where ours go
    )


if __name__ == "__main__":
    main()
