"""Who has the GPU of this machine while a cycle trains on it: `engine.while_training`.

With `share` the engines go on, each in its share of the memory. With `sleep` they hand it over: a
program of its own puts them to sleep and holds on to this process by a pipe, so that they wake when
training ends, however it ends.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

import loop_platform
from loop_platform.engine.nap import ASLEEP
from loop_platform.settings import EngineSettings

_ROOT = Path(loop_platform.__file__).parents[1]


@contextmanager
def gpu(engine: EngineSettings, say: Callable[[str], None]) -> Iterator[None]:
    """For as long as something trains here.

    Raises:
        dagster.Failure: an engine did not go to sleep, or did not wake.
    """
    if engine.while_training == "share":
        yield
        return
    urls = [f"http://{engine.host}:{port}" for port in engine.ports]
    with subprocess.Popen(
        [sys.executable, "-m", "loop_platform.engine.nap", *urls],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A signal to the run's group must not end the one who is to wake them.
        start_new_session=True,
    ) as nap:
        assert nap.stdout is not None
        said = nap.stdout.readline().split()
        try:
            if said[:1] == [ASLEEP]:
                say(f"{said[1]} engines sleep while this trains; their callers wait")
                yield
        finally:
            _, why = nap.communicate()
        if nap.returncode != 0:
            raise dg.Failure(f"the GPU's hand-over failed: {why.strip()}")
