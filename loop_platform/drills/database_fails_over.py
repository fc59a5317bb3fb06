"""A database that goes away in the middle of a promotion, and comes back.

The controller is held inside the very transaction that flips the champion, by a lock on the
candidate's row; then the embedded server is stopped and started, or, where the database is another
one, every connection to it is cut, as a failover does. Nothing of the half-made promotion is to be
left; it is made after all, once, and callers are answered throughout.
"""

import contextlib
import time

import sqlalchemy as sa

from loop_platform.database import database_url, releases
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.release.states import State
from loop_platform.stack.errors import StackError
from loop_platform.stack.programs import FIRST
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor

_CONTROLLER_WAITS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'loop release controller' AND wait_event_type = 'Lock'"
)
_CUT = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_PATIENCE_S = 20.0


def run(rehearsal: Rehearsal) -> list[Finding]:
    copy = rehearsal.copy().release
    request, held = _cut_in_the_flip(rehearsal, copy)
    outcome = rehearsal.outcome(request)
    one = rehearsal.one_champion(copy)
    crowned = [move for move in rehearsal.moves() if move.to_state is State.CHAMPION]
    failed = len(rehearsal.calls.failed)
    return [
        Finding(
            "the controller was in the middle of it", "it waited for the candidate's row", held
        ),
        Finding("the promotion is made after all", outcome.refusal or "made", outcome.done),
        Finding("and made once", f"{len(crowned)} lines in the audit log", len(crowned) == 1),
        Finding("no call fails", str(rehearsal.calls), failed == 0),
        one,
    ]


def _cut_in_the_flip(rehearsal: Rehearsal, copy: str) -> tuple[int, bool]:
    """The promotion's request, and whether the controller was held in its transaction."""
    database = sa.create_engine(database_url(rehearsal.settings), poolclass=sa.NullPool)
    holding = database.connect()
    try:
        # The weaker lock: a request that refers to the row can still be written.
        holding.execute(
            sa.select(releases.c.release)
            .where(releases.c.release == copy)
            .with_for_update(key_share=True)
        )
        request = rehearsal.request(State.CHAMPION)
        held = _wait_until_held(rehearsal)
        _cut(rehearsal, database)
    finally:
        with contextlib.suppress(sa.exc.DBAPIError):  # it was cut, too
            holding.rollback()
        holding.close()
        database.dispose()
    return request, held


def _wait_until_held(rehearsal: Rehearsal) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not rehearsal.ask(lambda connection: connection.scalar(_CONTROLLER_WAITS)):
        if time.monotonic() > deadline:
            raise StackError(f"the controller did not begin the promotion within {_PATIENCE_S:g} s")
        time.sleep(0.02)
    return True


def _cut(rehearsal: Rehearsal, database: sa.Engine) -> None:
    if rehearsal.settings.database_url is None:
        Supervisor(supervisor_socket(rehearsal.settings.data_dir)).restart(FIRST)
        return
    with database.connect() as connection:
        connection.execute(_CUT)
