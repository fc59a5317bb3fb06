"""`loop up`: prepare, start in order, each program when what it needs is ready, then watch."""

import json
import signal
import urllib.request
from collections.abc import Collection

import sqlalchemy as sa

from loop_platform.database import database_url, routes
from loop_platform.settings import Settings
from loop_platform.stack import preparation
from loop_platform.stack.errors import StackError
from loop_platform.stack.first_start import admin_key_file, prepare_database
from loop_platform.stack.lock import locked
from loop_platform.stack.ports import check_ports
from loop_platform.stack.programs import program_names
from loop_platform.stack.progress import Progress
from loop_platform.stack.stack import Stack

_PROBE_TIMEOUT_S = 3.0


def up(settings: Settings, progress: Progress, *, only: Collection[str] = ()) -> None:
    """Run the stack until Ctrl-C or SIGTERM, which is raised as KeyboardInterrupt in the end.

    `only` names programs: the others are not started.

    Raises:
        StackError: it cannot start, or the supervisor died.
    """
    names = _chosen(settings, only)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    preparation.check_data_folder(settings.data_dir)
    with locked(settings.data_dir) as lock:
        check_ports(settings, names)
        preparation.check_environments(settings, names)
        preparation.check_judges(settings)
        preparation.make_folders(settings)
        with Stack(settings, progress, lock, names) as stack:
            _start(stack, progress)
            _tell_where(settings, progress, names)
            stack.watch()


def _chosen(settings: Settings, only: Collection[str]) -> list[str]:
    known = program_names(settings)
    if unknown := sorted(set(only) - set(known)):
        raise StackError(f"there is no program {unknown[0]!r}; there are: {', '.join(known)}")
    return [name for name in known if not only or name in only]


def _start(stack: Stack, progress: Progress) -> None:
    settings = stack.settings
    stack.start("postgres")
    if "controller" in stack.programs and not preparation.has_base_model(settings):
        with progress.step(f"base model {settings.models.base}"):
            preparation.make_base_model(settings)
    stack.ready("postgres")
    with progress.step("database schema"):
        prepare_database(settings)
    for name in ("controller", "gateway", "observer", "console", "code-location"):
        stack.start(name)
    for name in ("gateway", "console", "controller", "observer", "code-location"):
        stack.ready(name)
    for name in ("dagster-webserver", "dagster-daemon"):
        stack.start(name)
        stack.ready(name)
    if "controller" in stack.programs:
        with progress.step("champion on its engine"):
            timeout_s = settings.engine.start_timeout_s
            stack.wait("engine-a", lambda: champion_answers(settings), timeout_s=timeout_s)


def champion_answers(settings: Settings) -> bool:
    """Whether the engine that the champion is routed to serves it."""
    database = sa.create_engine(database_url(settings))
    try:
        with database.connect() as connection:
            row = connection.execute(sa.select(routes)).one_or_none()
    finally:
        database.dispose()
    if row is None or row.champion is None or row.champion_url is None:
        return False
    try:
        with urllib.request.urlopen(f"{row.champion_url}/v1/models", timeout=_PROBE_TIMEOUT_S) as r:
            served = json.load(r)["data"]
    except (OSError, ValueError):
        return False
    return any(model["id"] == row.champion_model for model in served)


def _tell_where(settings: Settings, progress: Progress, names: Collection[str]) -> None:
    places = {
        "gateway": f"gateway     {settings.gateway_url}/v1",
        "console": f"console     {settings.console_url}",
        "dagster-webserver": f"Dagster UI  {settings.dagster_url}",
    }
    for name, place in places.items():
        if name in names:
            progress.say(place)
    progress.say(f"admin key   {admin_key_file(settings)}")
    progress.say(f"logs        {settings.data_dir / 'logs'}")
    progress.say("The loop runs until Ctrl-C.", style="bold")
