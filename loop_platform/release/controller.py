"""The release controller: owns every move of a release, four times a second.

    python -m loop_platform.release.controller

It keeps nothing in memory that counts: killed at any moment, its successor goes on from the tables.
"""

import logging
import signal
import sys
import threading
from types import FrameType

from loop_platform.engine.base_model import BaseModelError
from loop_platform.release import bootstrap, desk, leases, registry, routes, slots, stages
from loop_platform.release.engines import Engines
from loop_platform.release.fleet import Fleet
from loop_platform.release.inspection import Inspection
from loop_platform.release.leader import Leadership, LeadershipLostError
from loop_platform.release.registry import Release
from loop_platform.release.serving import serving
from loop_platform.settings import Settings, settings
from loop_platform.stack.supervision import supervisor

_log = logging.getLogger(__name__)

INTERVAL_S = 0.25


class Controller:
    """One contender for the leadership, and the leader once it has it."""

    def __init__(self, settings: Settings, engines: Engines, probe_s: float = 0.5) -> None:
        self._settings = settings
        self._engines = engines
        self._probe_s = probe_s
        self._leadership = Leadership(settings)
        self._inspection: Inspection | None = None
        self._fleet: Fleet | None = None

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping` is set: lead where nobody does, and do a leader's work."""
        waiting = False
        while not stopping.is_set():
            if self.lead():
                waiting = False
            elif not waiting:
                waiting = True
                _log.info("waiting: another controller leads, or the database is away")
            stopping.wait(INTERVAL_S)
        self.close()

    def lead(self) -> bool:
        """One round; False when somebody else leads or the database is away."""
        try:
            if not self._leadership.held and not self._begin():
                return False
            self._round()
        except LeadershipLostError as error:
            _log.warning("%s: acting no more until the lock is taken again", error)
            self._dismiss()
            return False
        return True

    def close(self) -> None:
        """End the trials' lease and hand the lead over; the engines go on."""
        if self._leadership.held:
            try:
                with self._leadership.transaction() as connection:
                    leases.revoke(connection)
            except LeadershipLostError as error:
                _log.warning("%s: the lease runs out by itself", error)
        self._dismiss()

    def _begin(self) -> bool:
        if not self._leadership.acquire():
            return False
        with self._leadership.transaction() as connection:
            base = bootstrap.ensure_champion(connection, self._settings)
        self._fleet = Fleet(serving(self._settings, self._engines, base), self._probe_s)
        self._fleet.start()
        self._inspection = Inspection()
        _log.info("leading")
        return True

    def _dismiss(self) -> None:
        if self._fleet is not None:
            self._fleet.stop()
            self._fleet = None
        if self._inspection is not None:
            self._inspection.close()
            self._inspection = None
        self._leadership.resign()

    def _round(self) -> None:
        assert self._inspection is not None
        self._see()
        desk.handle_all(self._leadership, self._settings, self._inspection)
        with self._leadership.transaction() as connection:
            stages.advance(connection, self._settings)
        self._place()

    def _see(self) -> None:
        """Note in the table which engines serve what they should, before anything relies on it."""
        assert self._fleet is not None
        with self._leadership.transaction() as connection:
            for slot in slots.SLOTS:
                health = self._fleet.health(slot)
                if health.release is not None:
                    slots.set_ready(connection, slot, health.release, health.ready)

    def _place(self) -> None:
        """Give each release its engine, the routes what follows, and the trials their lease."""
        assert self._fleet is not None
        with self._leadership.transaction() as connection:
            slots.assign(connection, self._fleet.urls(), self._settings.engine.drain_s)
            routes.follow(connection, self._settings.gates)
            leases.renew(connection, self._settings.gates.lease_s)
            wanted: dict[str, Release | None] = {
                name: registry.find(connection, slot.release) if slot.release else None
                for name, slot in slots.read(connection).items()
            }
        self._fleet.want(wanted)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        Controller(settings(), supervisor()).run(stopping)
    except BaseModelError as error:
        _log.error("there is no base model to start with: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
