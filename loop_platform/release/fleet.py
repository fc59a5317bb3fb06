"""Brings the engines to what their slots should serve and watches whether they do.

A thread a slot: starting and stopping an engine takes seconds, and a lease of one second must not
wait for it.
"""

import logging
import threading
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from loop_platform.release.registry import Release
from loop_platform.release.serving import Serving, served
from loop_platform.release.slots import SLOTS
from loop_platform.stack.supervision import SupervisorError

_log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S = 5.0
# An engine that is busy answers late; one that is dead refuses the connection at once.
_LATE_PROBES = 3
# What can go wrong between here and an engine.
_TROUBLE = (httpx.HTTPError, SupervisorError, xmlrpc.client.Error, OSError, ValueError, KeyError)


@dataclass(frozen=True)
class Health:
    """What a slot's engine was last seen to serve."""

    release: str | None
    ready: bool
    problem: str | None


_UNSEEN = Health(None, ready=False, problem="not looked at yet")
_EMPTY = Health(None, ready=False, problem=None)


class Fleet:
    """The engines of all slots."""

    def __init__(self, serving: Serving, interval_s: float = 0.5) -> None:
        self._serving = serving
        self._interval_s = interval_s
        # One client for all probes: making one reads the certificates of the whole web.
        self._client = httpx.Client(timeout=_PROBE_TIMEOUT_S)
        self._wanted: dict[str, Release | None] = {}
        self._health: dict[str, Health] = {}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(slot,), name=f"engine-{slot}", daemon=True)
            for slot in SLOTS
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Touch no engine any more; what runs goes on."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout_s)
        if not any(thread.is_alive() for thread in self._threads):
            self._client.close()

    def want(self, releases: Mapping[str, Release | None]) -> None:
        """What each slot should serve from now on."""
        self._wanted = dict(releases)

    def health(self, slot: str) -> Health:
        return self._health.get(slot, _UNSEEN)

    def urls(self) -> dict[str, str]:
        return {slot: self._serving.url(slot) for slot in SLOTS}

    def _watch(self, slot: str) -> None:
        late = 0
        while not self._stopping.wait(self._interval_s):
            if slot not in self._wanted:
                continue
            release, before = self._wanted[slot], self.health(slot)
            try:
                now, late = self._step(slot, release), 0
            except httpx.TimeoutException as error:
                late += 1
                known = release is not None and before.release == release.release
                now = before if known and late < _LATE_PROBES else _troubled(release, error)
            except _TROUBLE as error:
                now = _troubled(release, error)
            if now != before:
                _say(slot, now)
            self._health[slot] = now

    def _step(self, slot: str, release: Release | None) -> Health:
        """Place, where that is not done, and probe."""
        before = self.health(slot)
        if release is None:
            if self._health.get(slot) != _EMPTY:
                self._serving.clear(slot)
            return _EMPTY
        if before.release != release.release or not before.ready:
            self._serving.place(slot, release)
        names = served(self._client, self._serving.url(slot))
        ready = release.release in names
        problem = None if ready else f"the engine serves {', '.join(sorted(names)) or 'nothing'}"
        return Health(release.release, ready, problem)


def _troubled(release: Release | None, error: Exception) -> Health:
    """`release` stays empty on trouble with an empty slot, so that clearing it is tried again."""
    return Health(None if release is None else release.release, ready=False, problem=str(error))


def _say(slot: str, health: Health) -> None:
    if health.ready:
        _log.info("engine %s serves %s", slot, health.release)
    elif health.problem is not None:
        _log.info("engine %s does not serve %s: %s", slot, health.release, health.problem)
