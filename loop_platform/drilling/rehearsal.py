"""A rehearsal: a candidate on its way to production, callers beside it, and what became of both."""

import getpass
import hashlib
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from loop_platform import keys
from loop_platform.drilling import cycle
from loop_platform.drilling.budget import Budget
from loop_platform.drilling.callers import Callers, Calls
from loop_platform.drilling.endings import ending_of, exposure_of
from loop_platform.drilling.names import IMPROVED, TENANT
from loop_platform.drilling.report import Ending, Exposure, Finding
from loop_platform.drilling.stack import DrilledStack, free_champion, is_ready
from loop_platform.engine.faulty import Fault, Script, plant
from loop_platform.release import registry, requests, routes, slots, trials
from loop_platform.release.registry import Evidence, Move, Release
from loop_platform.release.requests import Outcome
from loop_platform.release.serving import mode
from loop_platform.release.states import IN_TRIAL, SETTLED, State
from loop_platform.stack.errors import StackError

T = TypeVar("T")


class Rehearsal:
    """Whatever happens in its block, it is cleaned up after."""

    def __init__(self, stack: DrilledStack, name: str, budget: Budget) -> None:
        self.stack = stack
        self.settings = stack.settings
        self.actor = f"{TENANT}:{getpass.getuser()}"
        self._name = name
        self._budget = budget
        self._id = uuid.uuid4().hex[:12]
        self._folder = self.settings.data_dir / "drills" / self._id
        self._candidate: str | None = None

    def __enter__(self) -> "Rehearsal":
        # Asked once, not again and again: it may not be up at all.
        self.champion = self.stack.once(free_champion)
        self._key = self.stack.once(
            lambda connection: keys.create_key(connection, "contributor", TENANT, TENANT)
        )
        self.callers = Callers(self.settings.gateway_url, self._key, self._budget.pace)
        self.callers.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.restore()
        finally:
            self.callers.stop()
            key_id = self._key.split("_")[1]
            self.ask(lambda connection: keys.revoke(connection, key_id))

    @property
    def calls(self) -> Calls:
        """What callers got so far."""
        return self.callers.calls

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        return self.stack.ask(question)

    # on the way to production

    def copy(self) -> Release:
        """A copy of the champion, out of its canary: all that is left is its promotion."""
        name = self._register(self._copied())
        self.begin_shadow()
        self.begin_canary()
        self._conclude(State.CANARY)
        return self.ask(lambda connection: registry.find(connection, name))

    def plant(
        self, *scripts: Script, fails: float = 0.0, stopped_at_canary: bool = True
    ) -> Release:
        """A candidate on its engine, out of a cycle, that answers as the champion does but for
        what is said here.

        `stopped_at_canary`: it is registered as a drill, which the state machine lets get to
        nobody. Otherwise a fault may reach the callers of the drill.
        """
        if mode(self.settings) == "adapter":
            raise StackError(
                "engines are given adapters here (engine.serving): an engine with a fault needs"
                " one of its own, as `merged` serving has it"
            )
        slot = self.ask(lambda connection: slots.serving(connection, self.champion))
        assert slot is not None, "it was ready a moment ago"
        fault = Fault(url=slot.url, model=self.champion, fails=fails, scripts=scripts)
        weights = plant(fault, self._folder / "weights")
        name = self._register((weights, weights), self._cycle, drill=stopped_at_canary)
        return self.ask(lambda connection: registry.find(connection, name))

    def begin_shadow(self) -> None:
        """Pass it over its offline evaluation."""
        name = self._mine
        self._go(State.EVALUATED)
        self.stack.until(
            lambda connection: registry.find(connection, name).state is not State.EVALUATED,
            f"{name} is in shadow",
        )

    def begin_canary(self) -> None:
        """Pass it over the verdict on its shadow."""
        self._conclude(State.SHADOW)
        self._go(State.CANARY)

    def settled(self) -> State:
        """Wait until it is out of its trials. After the drill's minutes it is taken back: what is
        not settled by then is not known, and not promoted."""
        name = self._mine
        try:
            self.stack.until(
                lambda connection: registry.find(connection, name).state in SETTLED,
                f"{name} is settled",
                60 * self._budget.minutes,
            )
        except StackError:
            self._withdraw()
        return self.ask(lambda connection: registry.find(connection, name).state)

    def request(self, state: State) -> int:
        """Ask the controller for a move of the candidate."""
        return self._request(state, f"drill {self._name}", {})

    def outcome(self, request: int) -> Outcome:
        """What became of a request, once it was handled."""
        self.stack.until(
            lambda connection: requests.outcome(connection, request).handled,
            f"the controller handles request {request}",
        )
        return self.ask(lambda connection: requests.outcome(connection, request))

    # what became of it

    def moves(self) -> list[Move]:
        """The audit log of the candidate."""
        name = self._mine
        return self.ask(lambda connection: registry.moves(connection, name))

    def ending(self) -> Ending | None:
        """Of the candidate that was planted, as it is now."""
        return None if self._candidate is None else ending_of(self.moves())

    def exposure(self) -> Exposure:
        """What callers met of the candidate so far."""
        moves = [] if self._candidate is None else self.moves()
        return exposure_of(self._candidate, moves, self.calls, self.stack.clock_ahead_s())

    def one_champion(self, *allowed: str) -> Finding:
        """One release is champion, the routes name it, its engine is ready and callers get it."""

        def agreed(connection: sa.Connection) -> bool:
            serving = registry.in_states(connection, {State.CHAMPION})
            routed = routes.read(connection).champion
            return (
                [routed] == [each.release for each in serving]
                and routed in allowed
                and is_ready(connection, routed)
                and self.callers.release() == routed
            )

        should = f"one champion ({' or '.join(allowed)}), on its engine, and it answers"
        try:
            seconds = self.stack.until(agreed, "one champion serves")
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
        """The champion of before serves again, and the candidate is gone."""
        self.restore()
        return [
            self.one_champion(self.champion),
            self.whole_audit(),
            Finding("what callers met", str(self.calls), True),
        ]

    def restore(self) -> None:
        """Take the candidate out of production or out of its trial, and its files away."""
        name = self._candidate
        if name is None:
            return
        self.stack.until(
            lambda connection: not requests.pending(connection, name), "its requests are handled"
        )
        state = self.ask(lambda connection: registry.find(connection, name).state)
        if state is State.CHAMPION:
            self.outcome(self.request(State.ROLLED_BACK))
        elif state in IN_TRIAL:
            self.outcome(self.request(State.REJECTED))
        self.stack.until(
            lambda connection: slots.serving(connection, name) is None,
            "no engine holds the candidate",
        )
        shutil.rmtree(self._folder, ignore_errors=True)
        cycle.clear(self.settings, self._cycle)
        self._candidate = None

    # inside

    @property
    def _mine(self) -> str:
        assert self._candidate is not None, "make the candidate first"
        return self._candidate

    @property
    def _cycle(self) -> str:
        return f"drill-{self._id}"

    def _routed(self) -> str | None:
        champion: str | None = self.ask(lambda connection: routes.read(connection).champion)
        return champion

    def _copied(self) -> tuple[Path, Path]:
        """The adapter and the weights of the champion, as files of the drill's own."""
        champion = self.ask(lambda connection: registry.find(connection, self.champion))
        adapter, weights = champion.adapter_path, champion.weights_path
        if mode(self.settings) != "adapter":
            weights = _copied(weights, self._folder / "weights")
            return adapter or weights, weights
        if adapter is None:
            raise StackError(
                f"champion {champion.release} has no adapter, and engines are given nothing"
                " but adapters (engine.serving): a drill needs one that it can copy"
            )
        return _copied(adapter, self._folder / "adapter"), weights

    def _register(
        self, files: tuple[Path, Path], out_of: str | None = None, *, drill: bool = False
    ) -> str:
        """Register a candidate and wait for its engine."""
        record: dict[str, Any] = {"drill": self._name, "champion": self.champion}
        if out_of is not None:
            record |= cycle.fill(self.settings, out_of)

        def registered(connection: sa.Connection) -> str:
            if out_of is not None:
                cycle.open_cycle(connection, out_of, f"drill {self._name}")
            return registry.register(
                connection,
                cycle=out_of,
                parent=self.champion,
                adapter=hashlib.sha256(str(self._folder).encode()).hexdigest(),
                adapter_path=files[0],
                weights_path=files[1],
                drill=drill,
                record=record,
                actor=self.actor,
            )

        name = self._candidate = self.ask(registered)
        self.stack.until(lambda connection: _placed(connection, name), f"an engine serves {name}")
        return name

    def _withdraw(self) -> None:
        """End its trial with what the last look knew."""
        name = self._mine

        def known(connection: sa.Connection) -> dict[str, Any]:
            state = registry.find(connection, name).state
            trial = trials.find(connection, name, state)
            shown = {} if trial is None else trial.evidence or {}
            return {key: shown[key] for key in ("looked_at", "fronts") if key in shown}

        minutes = self._budget.minutes
        reason = f"not known: nothing was settled in the {minutes:g} minutes of the drill"
        self.outcome(self._request(State.REJECTED, reason, self.ask(known)))

    def _request(self, state: State, reason: str, known: Evidence) -> int:
        name, shown = self._mine, {**known, "drill": True}
        return self.ask(
            lambda connection: requests.request_move(
                connection, name, state, actor=self.actor, reason=reason, evidence=shown
            )
        )

    def _go(self, state: State) -> None:
        outcome = self.outcome(self.request(state))
        if outcome.refusal is not None:
            raise StackError(f"the candidate did not become {state}: {outcome.refusal}")

    def _conclude(self, stage: State) -> None:
        shown = {
            "drill": True,
            "looked_at": 0,
            "tasks": [IMPROVED],
            "reason": f"drill {self._name}",
        }
        name = self._mine
        self.ask(lambda connection: trials.conclude(connection, name, stage, "passed", shown))


def _placed(connection: sa.Connection, name: str) -> bool:
    """On a ready engine, or judged on one already."""
    left = registry.find(connection, name).state is not State.REGISTERED
    return left or is_ready(connection, name)


def _copied(folder: Path, to: Path) -> Path:
    """A copy of what is directly in a folder; links would share what a drill changes."""
    to.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, to / file.name)
    return to
