"""`loop demo`: turn the loop on a real workload, from nothing, and show what happened.

The workload and its driver are in examples/home_assistant, in an environment of their own; this
starts the stack with the demo's settings, makes the keys, and runs the driver against it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import click
import sqlalchemy as sa

from loop_platform import keys
from loop_platform.cli.children import child
from loop_platform.cli.earlier import begin
from loop_platform.database import cycles as cycles_table
from loop_platform.database import database_url
from loop_platform.settings import Settings, settings
from loop_platform.stack.errors import StackError
from loop_platform.stack.programs import REPOSITORY
from loop_platform.stack.progress import Progress
from loop_platform.stack.up import champion_answers

EXAMPLE = REPOSITORY / "examples" / "home_assistant"
PYTHON = REPOSITORY / ".venv-demo" / "bin" / "python"

_HOOK = "http://127.0.0.1:8790/"
_START_TIMEOUT_S = 600.0
_HOOK_TIMEOUT_S = 30.0

# Who takes part: variable for the driver → role, tenant, name. The examiner is of a tenant of its
# own: nothing that it asks is reviewed or trained on.
_KEYS = {
    "APP_KEY": ("contributor", "home", "home-app"),
    "EXAM_KEY": ("contributor", "examiner", "examiner"),
    "REVIEWER_KEY": ("reviewer", "home", "simulated-reviewer"),
    "ADMIN_KEY": ("admin", "home", "demo"),
}


@click.command()
@click.option("--cycles", type=click.IntRange(1, 2), default=1, show_default=True)
@click.option("--keep", is_flag=True, help="Leave the stack running until Ctrl-C.")
@click.option("--seed", default=17, show_default=True, help="Of everything that is simulated.")
def demo(cycles: int, keep: bool, seed: int) -> None:
    """Turn the loop on home-assistant commands; exits 0 only if it closed honestly."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # what was started is ended in order
    os.environ.setdefault("LOOP_SETTINGS", str(EXAMPLE / "loop.toml"))
    found, progress = settings(), Progress()
    out = found.data_dir / "demo"
    os.environ.setdefault("LOOP_SUITES", str(out / "suites"))
    try:
        _prepare(progress, Path(os.environ["LOOP_SUITES"]), seed)
        with contextlib.ExitStack() as stack:
            running = _stack(stack, found, progress)
            _hook(stack, found)
            status = _drive(found, out, cycles, seed)
            _tell_where(found, progress, out, kept=keep or running is None)
            if keep and running is not None:
                with contextlib.suppress(KeyboardInterrupt):  # the demo had its result before
                    running.wait()
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _prepare(progress: Progress, suites: Path, seed: int) -> None:
    if not PYTHON.exists():
        raise StackError(f"the demo's environment is missing: `make .venv-demo` builds {PYTHON}")
    with progress.step("the demo's data"):
        _module("home_assistant.sources")
        _module("home_assistant.suites", "--out", str(suites), "--seed", str(seed))


def _module(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [PYTHON, "-m", name, *arguments],
        cwd=EXAMPLE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise StackError(f"{name} failed: {last}")


def _stack(
    stack: contextlib.ExitStack, settings: Settings, progress: Progress
) -> "subprocess.Popen[bytes] | None":
    """Starts the stack, unless one is up; None where it is not ours to end."""
    if _answers(f"{settings.gateway_url}/readyz"):
        if _has_turned(settings):
            raise StackError(
                f"the loop at {settings.gateway_url} has turned already, and the demo begins with"
                " one that has not: end it, and run the demo again"
            )
        return None
    if earlier := begin(settings.data_dir):
        progress.say(f"what the demo before left is now in {earlier}")
    process = stack.enter_context(child([sys.executable, "-m", "loop_platform.cli", "up"]))
    _wait(lambda: _is_up(settings), "the stack", process, _START_TIMEOUT_S)
    return process


def _is_up(settings: Settings) -> bool:
    """Whether the last of what `loop up` waits for is there."""
    return (
        _answers(f"{settings.gateway_url}/readyz")
        and _answers(f"{settings.dagster_url}/server_info")
        and champion_answers(settings)
    )


def _hook(stack: contextlib.ExitStack, settings: Settings) -> None:
    """The validator hook: the product's own parser."""
    if _answers(_HOOK):
        return
    log = settings.data_dir / "logs" / "validator-hook.log"
    command = [str(PYTHON), "-m", "home_assistant.hook"]
    process = stack.enter_context(child(command, environment=_example(), log=log))
    _wait(lambda: _answers(_HOOK), "the validator hook", process, _HOOK_TIMEOUT_S)


def _drive(settings: Settings, out: Path, cycles: int, seed: int) -> int:
    engine = sa.create_engine(database_url(settings))
    with engine.begin() as connection:
        made = {name: keys.create_key(connection, *who) for name, who in _KEYS.items()}
    engine.dispose()
    environment = {f"LOOP_DEMO_{name}": key for name, key in made.items()} | {
        "LOOP_DEMO_GATEWAY": settings.gateway_url,
        "LOOP_DEMO_CONSOLE": settings.console_url,
    }
    arguments = ["--out", str(out), "--cycles", str(cycles), "--seed", str(seed)]
    command = [str(PYTHON), "-m", "home_assistant.driver", *arguments]
    with child(command, environment=_example() | environment) as driver:
        return driver.wait()


def _tell_where(settings: Settings, progress: Progress, out: Path, *, kept: bool) -> None:
    progress.say(f"report       {out / 'report.json'}")
    progress.say(f"Dagster UI   {settings.dagster_url}")
    progress.say(f"review page  {settings.console_url}/review (key: {settings.data_dir}/admin.key)")
    progress.say(f"gateway      {settings.gateway_url}/v1")
    if kept:
        progress.say("They are up until Ctrl-C.", style="bold")
        return
    named = {name: os.path.relpath(os.environ[name]) for name in ("LOOP_SETTINGS", "LOOP_SUITES")}
    again = " ".join(f"{name}={path}" for name, path in named.items())
    progress.say(
        "They end now. `make demo KEEP=1` keeps them up after a demo; this loop comes back"
    )
    progress.say(f"as it is with `{again} make up`.")


def _has_turned(settings: Settings) -> bool:
    engine = sa.create_engine(database_url(settings))
    with engine.connect() as connection:
        turned = connection.scalar(sa.select(sa.func.count()).select_from(cycles_table))
    engine.dispose()
    return bool(turned)


def _wait(
    ready: Callable[[], bool], what: str, process: "subprocess.Popen[bytes]", timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None:
            raise StackError(f"{what} ended (status {process.returncode})")
        if time.monotonic() > deadline:
            raise StackError(f"{what} was not ready within {timeout_s:.0f} s")
        time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _example() -> dict[str, str]:
    """Where the example's package is found."""
    return {"PYTHONPATH": str(EXAMPLE.parent), "PYTHONUNBUFFERED": "1"}
