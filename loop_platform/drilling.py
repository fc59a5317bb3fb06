"""Drills: a fault is planted in a running stack, and what follows is reported.

A drill is a file in `loop_platform/drills/`, found by its name: its docstring's first line says
what it plants, and its `run(rehearsal)` says what it found. A rehearsal promotes a copy of the
champion, so that whoever is answered by it gets the champion's very answers; its trials are
concluded by the drill itself, since what is tried here is the promotion. In the end the champion of
before serves again and the copy is gone; the audit log keeps every move, by `drill:<login>`.

A candidate with a known fault is an engine that passes calls on and spoils a share of them
(loop_platform/engine/faulty.py), registered as a drill: such a release never gets past its shadow.

What is not covered: drills of the fronts, with a candidate that is a little worse. Those need a
cycle, its corrections and Dagster.
"""

import contextlib
import getpass
import hashlib
import importlib
import pkgutil
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import httpx
import sqlalchemy as sa

from loop_platform import drills, keys
from loop_platform.database import database_url
from loop_platform.engine.faulty import Fault, plant
from loop_platform.release import registry, requests, routes, slots, trials
from loop_platform.release.registry import Move, Release
from loop_platform.release.requests import Outcome
from loop_platform.release.serving import mode
from loop_platform.release.states import IN_TRIAL, State
from loop_platform.settings import Settings
from loop_platform.stack.errors import StackError

T = TypeVar("T")

WHO = "drill"
"""Tenant, task and name of the calls that a drill makes: nobody corrects them, so that nothing is
trained on them or on what is replayed beside a correction."""

_BEYOND_A_START_S = 20.0
_PAUSE_S = 0.1
_BETWEEN_CALLS_S = 0.05


@dataclass(frozen=True)
class Finding:
    """One thing that should be so after the fault, and what was found."""

    should: str
    found: str
    holds: bool


@dataclass
class Calls:
    """What callers got while the drill went on: every answer's status, 0 where none came."""

    statuses: Counter[int] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        made, failed = self.statuses.total(), len(self.failed_at)
        if not failed:
            return f"{made} calls, none failed"
        span = self.failed_at[-1] - self.failed_at[0]
        return f"{made} calls, {failed} failed within {span:.1f} s"


def names() -> dict[str, str]:
    """The drills and what each plants."""
    found = sorted(module.name for module in pkgutil.iter_modules(drills.__path__))
    return {name.replace("_", "-"): _module(name).__doc__.splitlines()[0] for name in found}


def drill(name: str, settings: Settings) -> list[Finding]:
    """Runs a drill against the stack of these settings.

    Raises:
        LookupError: there is no such drill.
        StackError: the stack cannot be drilled now, or did not get where it should.
    """
    if name not in names():
        raise LookupError(f"there is no drill {name!r}; there are: {', '.join(names())}")
    run = cast(Callable[["Rehearsal"], list[Finding]], _module(name.replace("-", "_")).run)
    with rehearsal(settings, name) as stage:
        found = run(stage)
        found += stage.restored()
    return found


def _module(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a module has no better type
    return importlib.import_module(f"{drills.__name__}.{name}")


@contextlib.contextmanager
def rehearsal(settings: Settings, name: str) -> Iterator["Rehearsal"]:
    """A rehearsal with callers; whatever happens in the block, it is cleaned up after."""
    database = sa.create_engine(
        database_url(settings), pool_pre_ping=True, connect_args={"connect_timeout": 5}
    )
    try:
        with Rehearsal(settings, database, name) as stage:
            yield stage
    finally:
        database.dispose()


class Rehearsal:
    """A copy of the champion on its way to production, and callers beside it."""

    def __init__(self, settings: Settings, database: sa.Engine, name: str) -> None:
        self.settings = settings
        self.calls = Calls()
        self.actor = f"{WHO}:{getpass.getuser()}"
        self._database = database
        self._name = name
        self._patience_s = settings.engine.start_timeout_s + _BEYOND_A_START_S
        self._folder = settings.data_dir / "drills" / uuid.uuid4().hex[:12]
        self._stopping = threading.Event()
        self._copy: str | None = None

    def __enter__(self) -> "Rehearsal":
        with self._database.begin() as connection:  # not again and again: it may not be up at all
            self.champion = self._free(connection)
            self._key = keys.create_key(connection, "caller", WHO, WHO)
        self._caller = threading.Thread(target=self._call, name="drill-caller", daemon=True)
        self._caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.restore()
        finally:
            self._stopping.set()
            self._caller.join(60)
            key_id = self._key.split("_")[1]
            self.ask(lambda connection: keys.revoke(connection, key_id))

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the database; where it is away, again until it is back."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                with self._database.begin() as connection:
                    return question(connection)
            except sa.exc.OperationalError as error:
                if time.monotonic() > deadline:
                    raise StackError(f"the database does not come back: {error.orig}") from error
                time.sleep(_PAUSE_S)

    def until(self, holds: Callable[[sa.Connection], object], what: str) -> float:
        """Wait until something holds; how many seconds it took."""
        started = time.monotonic()
        while not self.ask(holds):
            if time.monotonic() > started + self._patience_s:
                raise StackError(f"not within {self._patience_s:g} s: {what}")
            time.sleep(_PAUSE_S)
        return time.monotonic() - started

    def candidate(self) -> Release:
        """The copy, out of its canary: all that is left is its promotion."""
        name = self._copy = self.ask(self._register)
        self.until(lambda connection: is_ready(connection, name), f"an engine serves {name}")
        self._go(State.EVALUATED)
        self.until(
            lambda connection: registry.find(connection, name).state is State.SHADOW,
            f"{name} is in shadow",
        )
        self._conclude(State.SHADOW)
        self._go(State.CANARY)
        self._conclude(State.CANARY)
        return self.ask(lambda connection: registry.find(connection, name))

    def faulty(self, fails: float) -> Release:
        """A candidate in shadow that answers as the champion does, but fails on a share of calls.

        It is registered as a drill: the state machine lets none of those get to people.
        """
        if mode(self.settings) == "adapter":
            raise StackError(
                "engines are given adapters here (engine.serving): an engine with a fault needs"
                " one of its own, as `merged` serving has it"
            )
        name = self._copy = self.ask(lambda connection: self._plant(connection, fails))
        self.until(lambda connection: is_ready(connection, name), f"an engine serves {name}")
        self._go(State.EVALUATED)
        return self.ask(lambda connection: registry.find(connection, name))

    def request(self, state: State) -> int:
        """Ask the controller for a move of the copy."""
        name, reason = self._mine, f"drill {self._name}"
        return self.ask(
            lambda connection: requests.request_move(
                connection, name, state, actor=self.actor, reason=reason, evidence={"drill": True}
            )
        )

    def outcome(self, request: int) -> Outcome:
        """What became of a request, once it was handled."""
        self.until(
            lambda connection: requests.outcome(connection, request).handled,
            f"the controller handles request {request}",
        )
        return self.ask(lambda connection: requests.outcome(connection, request))

    def moves(self) -> list[Move]:
        """The audit log of the copy."""
        name = self._mine
        return self.ask(lambda connection: registry.moves(connection, name))

    def one_champion(self, *allowed: str) -> Finding:
        """One release is champion, the routes name it, its engine is ready and callers get it."""

        def agreed(connection: sa.Connection) -> bool:
            serving = registry.in_states(connection, {State.CHAMPION})
            routed = routes.read(connection).champion
            return (
                [routed] == [each.release for each in serving]
                and routed in allowed
                and is_ready(connection, routed)
                and self._answers() == routed
            )

        should = f"one champion ({' or '.join(allowed)}), on its engine, and it answers"
        try:
            seconds = self.until(agreed, "one champion serves")
        except StackError as error:
            return Finding(should, f"{error}; the routes name {self._routed()}", False)
        return Finding(should, f"{self._routed()}, after {seconds:.1f} s", True)

    def whole_audit(self) -> Finding:
        """Every line of the log goes on from the one before it, and the last one is the state."""
        faults, at = [], dict[str, State | None]()
        lines = self.ask(registry.moves)
        for line in lines:
            if line.from_state != at.get(line.release):
                faults.append(f"line {line.move_id} of {line.release} leaves {line.from_state}")
            at[line.release] = line.to_state
        states = {each.release: each.state for each in self.ask(registry.all_releases)}
        if states != at:
            faults.append("the states are not those of the log")
        said = "; ".join(faults) or f"{len(lines)} lines, without a gap or a line twice"
        return Finding("the audit log tells every move once", said, not faults)

    def restored(self) -> list[Finding]:
        """The champion of before serves again, and the copy is gone."""
        self.restore()
        return [
            self.one_champion(self.champion),
            self.whole_audit(),
            Finding("what callers met", str(self.calls), True),
        ]

    def restore(self) -> None:
        """Take the copy out of production or out of its trial, and its files away."""
        name = self._copy
        if name is None:
            return
        self.until(
            lambda connection: not requests.pending(connection, name), "its requests are handled"
        )
        state = self.ask(lambda connection: registry.find(connection, name).state)
        if state is State.CHAMPION:
            self._done(State.ROLLED_BACK)
        elif state in IN_TRIAL:
            self._done(State.REJECTED)
        self.until(
            lambda connection: slots.serving(connection, name) is None, "no engine holds the copy"
        )
        shutil.rmtree(self._folder, ignore_errors=True)
        self._copy = None

    def _routed(self) -> str | None:
        champion: str | None = self.ask(lambda connection: routes.read(connection).champion)
        return champion

    @property
    def _mine(self) -> str:
        assert self._copy is not None, "make the candidate first"
        return self._copy

    def _free(self, connection: sa.Connection) -> str:
        """The champion, where nothing else is going on."""
        if routes.paused(connection):
            raise StackError("the loop is paused, and no trial begins: `loop resume` first")
        if busy := registry.in_states(connection, IN_TRIAL):
            raise StackError(
                f"release {busy[0].release} is {busy[0].state}: a drill would take its engine;"
                " run it when nothing is on trial"
            )
        champion = registry.champion(connection)
        if champion is None or not is_ready(connection, champion.release):
            raise StackError("no champion is on its engine: is `loop up` running?")
        return champion.release

    def _register(self, connection: sa.Connection) -> str:
        champion = registry.find(connection, self.champion)
        adapter, weights = champion.adapter_path, champion.weights_path
        if mode(self.settings) == "adapter":
            if adapter is None:
                raise StackError(
                    f"champion {champion.release} has no adapter, and engines are given nothing"
                    " but adapters (engine.serving): a drill needs one that it can copy"
                )
            adapter = _copied(adapter, self._folder / "adapter")
        else:
            weights = _copied(weights, self._folder / "weights")
        return registry.register(
            connection,
            cycle=None,
            parent=champion.release,
            adapter=hashlib.sha256(str(self._folder).encode()).hexdigest(),
            adapter_path=adapter or weights,
            weights_path=weights,
            drill=False,  # such a one never gets as far as a promotion
            record={"drill": self._name, "copy_of": champion.release},
            actor=self.actor,
        )

    def _plant(self, connection: sa.Connection, fails: float) -> str:
        slot = slots.serving(connection, self.champion)
        assert slot is not None, "it was ready a moment ago"
        fault = Fault(url=slot.url, model=self.champion, fails=fails)
        weights = plant(fault, self._folder / "weights")
        return registry.register(
            connection,
            cycle=None,
            parent=self.champion,
            adapter=hashlib.sha256(str(self._folder).encode()).hexdigest(),
            adapter_path=weights,
            weights_path=weights,
            drill=True,
            record={"drill": self._name, "fails": fails},
            actor=self.actor,
        )

    def _go(self, state: State) -> None:
        outcome = self.outcome(self.request(state))
        if outcome.refusal is not None:
            raise StackError(f"the copy did not become {state}: {outcome.refusal}")

    def _done(self, state: State) -> None:
        self.outcome(self.request(state))

    def _conclude(self, stage: State) -> None:
        shown = {"drill": True, "looked_at": 0, "reason": f"drill {self._name}"}
        name = self._mine
        self.ask(lambda connection: trials.conclude(connection, name, stage, "passed", shown))

    def _call(self) -> None:
        headers = {"authorization": f"Bearer {self._key}", "x-loop-task": WHO}
        with httpx.Client(headers=headers, timeout=30) as client:
            while not self._stopping.wait(_BETWEEN_CALLS_S):
                status, _ = self._one_call(client)
                self.calls.statuses[status] += 1
                if status != httpx.codes.OK:
                    self.calls.failed_at.append(time.monotonic())

    def _one_call(self, client: httpx.Client) -> tuple[int, str | None]:
        """Its status, 0 where none came, and the release that answered."""
        body = {"model": "loop", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
        try:
            reply = client.post(f"{self.settings.gateway_url}/v1/chat/completions", json=body)
        except httpx.HTTPError:
            return 0, None
        return reply.status_code, reply.headers.get("x-loop-release")

    def _answers(self) -> str | None:
        """The release that answers a call now."""
        headers = {"authorization": f"Bearer {self._key}", "x-loop-task": WHO}
        with httpx.Client(headers=headers, timeout=30) as client:
            status, release = self._one_call(client)
            return release if status == httpx.codes.OK else None


def is_ready(connection: sa.Connection, release: str) -> bool:
    """Whether the engine that should serve a release does."""
    slot = slots.serving(connection, release)
    return slot is not None and slot.ready


def _copied(folder: Path, to: Path) -> Path:
    """A copy of what is directly in a folder; links would share what a drill changes."""
    to.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, to / file.name)
    return to
