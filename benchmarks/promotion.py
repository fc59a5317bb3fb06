"""Kills the release controller at random moments of promotions and rollbacks, and counts the harm.

A real PostgreSQL, a real supervisord with an engine a slot (small servers, OpenAI-shaped), gateways
of one worker each, callers who never stop, and the controller as it runs in the stack, in a process
of its own. Each round asks for a move (a candidate out of its canary is promoted, the champion is
rolled back, what was rolled back is promoted again), kills the controller with SIGKILL while it is
made, starts another, and waits until the move is done. Every other kill comes by the clock; those
in between come at a random statement of the controller's own, so that they fall inside its
transactions too. Then:

- one release is champion, and at no moment that was looked at there were none or two;
- every gateway's routes name it, and every gateway's answers are its own;
- the audit log has this move's lines, once, and the states that the log tells are the states;
- no caller got an error, nor an answer of a release that was not champion then.

    python benchmarks/promotion.py --kills 50 --json
"""

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from loop_platform import migrations
from loop_platform.database import cycles, database_url, moves, releases
from loop_platform.engine.base_model import weights_hash
from loop_platform.keys import create_key
from loop_platform.release import registry, requests, routes, slots, trials
from loop_platform.release.states import State
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform.stack.configuration import write_configuration
from loop_platform.stack.programs import ENGINES, Program, assignment
from loop_platform.stack.sockets import make_folder, supervisor_socket
from loop_platform.stack.tether import tethered
from loop_platform_tests.release.stage import free_ports, weights

ACTOR = "benchmark"
KINDS = ("promotion", "rollback", "return", "rollback")
"""In turns: a candidate out of its canary, back, the same again, back."""

_STATEMENTS, _KILL_AFTER = "statements", "kill-after"
_AWAKE = 100
"""Statements after which a controller that was started has led for some rounds."""


# The controller, with a counter of its statements.


def control(folder: Path) -> int:
    """The stack's own controller, which dies at the statement that `kill-after` names."""
    from loop_platform.release.controller import main

    count = 0
    dies_at: int | None = None
    with (folder / _STATEMENTS).open("wb", buffering=0) as shown:

        def step(*_: object) -> None:
            nonlocal count, dies_at
            count += 1
            os.pwrite(shown.fileno(), struct.pack("q", count), 0)
            asked = folder / _KILL_AFTER
            if asked.exists():
                dies_at = count + int(asked.read_text())
                asked.unlink()
            if dies_at is not None and count >= dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(sa.Engine, "before_cursor_execute", step)
        sa.event.listen(sa.Engine, "commit", step)
        return main()


class Control:
    """The controller's process, as often as it has to be started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self._folder / _STATEMENTS).write_bytes(struct.pack("q", 0))
        command = [sys.executable, __file__, "--role", "controller", "--folder", str(self._folder)]
        with (self._folder / "controller.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def statements(self) -> int:
        """How many the present process has made."""
        with contextlib.suppress(OSError, struct.error):
            return int(struct.unpack("q", (self._folder / _STATEMENTS).read_bytes())[0])
        return 0

    def kill_after_statements(self, count: int) -> None:
        draft = self._folder / f"{_KILL_AFTER}.draft"
        draft.write_text(str(count))
        draft.replace(self._folder / _KILL_AFTER)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def wait_until_dead(self) -> None:
        """Raises `RuntimeError` where it ended by itself."""
        assert self._process is not None
        status = self._process.wait()
        if status != -signal.SIGKILL:
            raise RuntimeError(f"the controller ended by itself with {status}: see controller.log")

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)


# Those who look on while moves are made.


@dataclass
class Seen:
    """What callers and the watcher saw."""

    calls: int = 0
    errors: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """Answers of a release that was not champion at any time of the call."""
    looks: int = 0
    champions: Counter[int] = field(default_factory=Counter)
    """How many champions there were at once, counted over the looks."""


class Lookers:
    """A caller a gateway, and a watcher of the table, each in a thread."""

    def __init__(self, database: sa.Engine, gateways: Sequence[str], key: str) -> None:
        self.seen = Seen()
        self.valid: frozenset[str] = frozenset()
        """The releases that may answer now: before and after the move that is being made."""
        self._database = database
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._watch, daemon=True)]
        self._threads += [
            threading.Thread(target=self._call, args=(url, key), daemon=True) for url in gateways
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _watch(self) -> None:
        query = sa.select(sa.func.count()).where(releases.c.state == State.CHAMPION)
        with self._database.connect().execution_options(isolation_level="AUTOCOMMIT") as reading:
            while not self._stopping.wait(0.02):
                self.seen.champions[reading.execute(query).scalar_one()] += 1
                self.seen.looks += 1

    def _call(self, url: str, key: str) -> None:
        with httpx.Client(timeout=60, headers={"authorization": f"Bearer {key}"}) as client:
            while not self._stopping.wait(0.05):
                before = self.valid
                try:
                    reply = ask(client, url)
                except httpx.HTTPError as error:
                    self.seen.errors.append(repr(error))
                    continue
                self.seen.calls += 1
                release = reply.headers.get("x-loop-release", "")
                if reply.status_code != 200:
                    self.seen.errors.append(f"{reply.status_code} of {release}: {reply.text[:120]}")
                elif release not in before | self.valid or said(reply) != f"I am {release}":
                    self.seen.strange.append(f"{release} said {said(reply)!r}")


def ask(client: httpx.Client, url: str) -> httpx.Response:
    body = {"model": "loop", "messages": [{"role": "user", "content": "who are you?"}]}
    return client.post(f"{url}/v1/chat/completions", json=body)


def said(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


# The stage, and the moves on it.


@dataclass(frozen=True)
class Wanted:
    """What a round asks for, and what has to be there in the end."""

    kind: str
    request: int
    reason: str
    leaves: str
    becomes: State
    """What the champion of before becomes."""
    champion: str


@dataclass(frozen=True)
class Round:
    """A move that was asked for, and whether all was well when it was done."""

    kind: str
    killed: str
    handled_s: float
    """Until the controller had done it."""
    took_s: float
    """Until every gateway followed, and a killed controller's successor had led for some rounds."""
    faults: list[str]


class Bench:
    """A loop with a champion, and moves of it."""

    def __init__(
        self,
        settings: Settings,
        database: sa.Engine,
        gateways: Sequence[str],
        key: str,
        patience_s: float,
    ) -> None:
        self.control = Control(settings.data_dir)
        self.lookers = Lookers(database, gateways, key)
        self._settings = settings
        self._database = database
        self._gateways = gateways
        self._client = httpx.Client(timeout=60, headers={"authorization": f"Bearer {key}"})
        self._patience_s = patience_s
        self._made = 0

    def begin(self) -> None:
        """The first champion serves, and people call."""
        self.control.start()
        self._until(lambda: self._served(self._champion()), "the first champion serves")
        self.lookers.valid = frozenset({self._champion()})
        self.lookers.start()

    def end(self) -> None:
        self.lookers.stop()
        self.control.end()
        self._client.close()

    def ready_for(self, kind: str) -> None:
        """What the move needs before it can be asked for: a candidate that passed its canary."""
        if kind == "promotion":
            self._candidate()

    def move(self, kind: str, kill: Callable[[], str] | None = None) -> Round:
        """Ask for a move, have the controller killed while it is made, and look at its end."""
        before = self._last_move()
        started = time.monotonic()
        wanted = self._ask_for(kind)
        killed = "not killed"
        if kill is not None:
            killed = kill()
            self.control.wait_until_dead()
            self.control.start()
        self._until(lambda: self._handled(wanted), f"{kind} is handled")
        handled = time.monotonic() - started
        self._until(lambda: self._served(wanted.champion), f"{wanted.champion} serves everywhere")
        self._until(lambda: self.control.statements > _AWAKE, "the controller leads")
        took = time.monotonic() - started
        self.lookers.valid = frozenset({wanted.champion})
        return Round(kind, killed, handled, took, self._faults(wanted, before))

    def _ask_for(self, kind: str) -> Wanted:
        champion = self._champion()
        self._made += 1
        reason = f"move {self._made}, a {kind}"
        with self._database.begin() as connection:
            if kind == "rollback":
                target = registry.rollback_target(connection)
                assert target is not None
                named, to_state, successor = champion, State.ROLLED_BACK, target.release
            else:
                state = State.CANARY if kind == "promotion" else State.ROLLED_BACK
                successor = registry.in_states(connection, {state})[-1].release
                named, to_state = successor, State.CHAMPION
            self.lookers.valid = frozenset({champion, successor})
            request = requests.request_move(
                connection, named, to_state, actor=ACTOR, reason=reason, evidence={}
            )
        becomes = State.ROLLED_BACK if kind == "rollback" else State.RETIRED
        return Wanted(kind, request, reason, champion, becomes, successor)

    def _handled(self, move: Wanted) -> bool:
        with self._database.connect() as connection:
            found = requests.outcome(connection, move.request)
        if found.refusal is not None:
            raise RuntimeError(f"{move.reason} was refused: {found.refusal}")
        return found.handled

    def _champion(self) -> str:
        with self._database.connect() as connection:
            found = registry.champion(connection)
        return "" if found is None else found.release

    def _served(self, release: str) -> bool:
        """Whether the routes name it, and every gateway answers by it."""
        with self._database.begin() as connection:
            routed = routes.read(connection).champion
            slot = slots.serving(connection, release)
        if routed != release or slot is None or not slot.ready:
            return False
        return all(self._answers(url) == release for url in self._gateways)

    def _answers(self, url: str) -> str | None:
        """The release that a gateway's table names and that its answers are of; None where these
        are two, or there is none."""
        try:
            table = self._client.get(f"{url}/readyz").json()["champion"]
            reply = ask(self._client, url)
        except httpx.HTTPError:
            return None
        if reply.status_code != 200 or reply.headers["x-loop-release"] != table:
            return None
        return table if said(reply) == f"I am {table}" else None

    def _last_move(self) -> int:
        with self._database.connect() as connection:
            return connection.execute(sa.select(sa.func.max(moves.c.move_id))).scalar_one() or 0

    def _faults(self, move: Wanted, before: int) -> list[str]:
        """What is not as it should be, now that the move was made."""
        with self._database.begin() as connection:
            champions = registry.in_states(connection, {State.CHAMPION})
            found = registry.moves(connection)
            states = {each.release: each.state for each in registry.all_releases(connection)}
            routed = routes.read(connection).champion
        faults = []
        if [each.release for each in champions] != [move.champion]:
            faults.append(f"champions: {[each.release for each in champions]}")
        if routed != move.champion:
            faults.append(f"the routes name {routed}")
        faults += [f"gateway {url} differs" for url in self._gateways if self._differs(url, move)]
        fresh = [
            (each.release, each.to_state, each.actor, each.reason)
            for each in found
            if each.move_id > before
        ]
        wanted = [
            (move.leaves, move.becomes, ACTOR, move.reason),
            (move.champion, State.CHAMPION, ACTOR, move.reason),
        ]
        if fresh != wanted:
            faults.append(f"the audit log has {fresh} and should have {wanted}")
        pairs = {
            (each.evidence.get("predecessor"), each.evidence.get("successor"))
            for each in found
            if each.move_id > before
        }
        if pairs != {(move.leaves, move.champion)}:
            faults.append(f"its evidence names {pairs}")
        return faults + told(found, states)

    def _differs(self, url: str, move: Wanted) -> bool:
        return self._answers(url) != move.champion

    def _candidate(self) -> str:
        """A release of a cycle of its own, that passed its canary."""
        self._made += 1
        digest = f"{self._made:04d}" * 16
        name = f"r-{digest[:12]}"
        folder = weights(self._settings.data_dir / "weights" / digest, {"*": f"I am {name}"})
        with self._database.begin() as connection:
            cycle = {"cycle": digest[:4], "kind": "improvement", "reason": ACTOR}
            connection.execute(sa.insert(cycles).values(cycle))
            parent = registry.champion(connection)
            registry.register(
                connection,
                cycle=digest[:4],
                parent=None if parent is None else parent.release,
                adapter=digest,
                adapter_path=folder,
                weights_path=folder,
                drill=False,
                record={},
            )
        self.lookers.valid |= {name}
        self._until(lambda: self._is_ready(name), f"an engine serves {name}")
        self._go(name, State.EVALUATED)
        self._until(lambda: self._state(name) is State.SHADOW, f"{name} is in shadow")
        self._conclude(name, State.SHADOW)
        self._go(name, State.CANARY)
        self._conclude(name, State.CANARY)
        return name

    def _go(self, release: str, state: State) -> None:
        with self._database.begin() as connection:
            request = requests.request_move(
                connection, release, state, actor=ACTOR, reason="to go on", evidence={}
            )
        move = Wanted("trial", request, "to go on", "", state, release)
        self._until(lambda: self._handled(move), f"{release} is {state}")

    def _conclude(self, release: str, stage: State) -> None:
        with self._database.begin() as connection:
            trials.conclude(connection, release, stage, "passed", {"looked_at": 0})

    def _state(self, release: str) -> State:
        with self._database.connect() as connection:
            return registry.find(connection, release).state

    def _is_ready(self, release: str) -> bool:
        with self._database.connect() as connection:
            slot = slots.serving(connection, release)
        return slot is not None and slot.ready

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._patience_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {self._patience_s:g} s: {what}")
            time.sleep(0.05)


def told(found: Sequence[registry.Move], states: dict[str, State]) -> list[str]:
    """Where the whole audit log does not tell the states: a gap, a line twice, two champions."""
    faults: list[str] = []
    at: dict[str, State | None] = {}
    for line in found:
        if line.from_state != at.get(line.release):
            faults.append(
                f"line {line.move_id}: {line.release} leaves {line.from_state}, and was"
                f" {at.get(line.release)}"
            )
        at[line.release] = line.to_state
        serving = [name for name, state in at.items() if state is State.CHAMPION]
        if len(serving) > 1:
            faults.append(f"line {line.move_id}: champions {serving}")
    if at != states:
        faults.append(f"the log tells {at}, and the states are {states}")
    return faults


# The run.


@contextlib.contextmanager
def stage(workers: int, patience_s: float, drain_s: float) -> Iterator[Bench]:
    """Everything up, and everything down again."""
    first, second, *doors = free_ports(2 + workers)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-bench-")))
        os.environ |= {
            "LOOP_DATA_DIR": str(folder),
            "LOOP_ENGINE__SERVING": "merged",
            "LOOP_ENGINE__PORTS": json.dumps([first, second]),
            "LOOP_ENGINE__DRAIN_S": str(drain_s),
            "LOOP_GATEWAY__CAPTURE_LOGPROBS": "false",
        }
        settings = Settings()
        stack.enter_context(postgres.running(folder))
        database = sa.create_engine(database_url(settings))
        stack.callback(database.dispose)
        migrations.upgrade(database)
        base = weights_hash(weights(settings.base_model_folder, {}))
        weights(settings.base_model_folder, {"*": f"I am base-{base[:12]}"})
        stack.enter_context(supervised(settings))
        with database.begin() as connection:
            key = create_key(connection, "caller", "bench", "bench")
        gateways = [stack.enter_context(gateway(folder, port)) for port in doors]
        bench = Bench(settings, database, gateways, key, patience_s)
        stack.callback(bench.end)
        bench.begin()
        yield bench


@contextlib.contextmanager
def supervised(settings: Settings) -> Iterator[None]:
    """A supervisord with an engine for each slot: what a killed controller leaves running."""
    engine = [sys.executable, "-m", "loop_platform_tests.release.tiny_engine", "--assignment"]
    programs = [
        Program(name, [*engine, str(assignment(settings, slot))], name, stop_seconds=4)
        for slot, name in ENGINES.items()
    ]
    configuration = write_configuration(settings.data_dir, programs)
    make_folder(settings.data_dir)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    daemon = subprocess.Popen(tethered(command), start_new_session=True)
    try:
        while not supervisor_socket(settings.data_dir).exists():
            if daemon.poll() is not None:
                raise RuntimeError(f"supervisord ended with {daemon.returncode}")
            time.sleep(0.05)
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)


@contextlib.contextmanager
def gateway(folder: Path, port: int) -> Iterator[str]:
    """The URL of a gateway with one worker, so that its table can be asked for."""
    with (folder / f"gateway-{port}.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "loop_platform.gateway"],
            env=os.environ | {"LOOP_GATEWAY__PORT": str(port)},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(60)


@dataclass
class Usual:
    """What a move of each kind takes when nobody is killed: seconds, and the controller's
    statements."""

    seconds: dict[str, float] = field(default_factory=dict)
    statements: dict[str, int] = field(default_factory=dict)


def undisturbed(bench: Bench) -> tuple[Usual, list[Round]]:
    """Each kind of move once, to know how long there is to kill."""
    usual, rounds = Usual(), []
    for kind in KINDS:
        bench.ready_for(kind)
        before = bench.control.statements
        done = bench.move(kind)
        usual.seconds[kind] = done.handled_s
        usual.statements[kind] = bench.control.statements - before
        rounds.append(done)
    return usual, rounds


def killing(bench: Bench, kind: str, usual: Usual, at: int, lot: random.Random) -> Round:
    """One move with its kill: by the clock, or at a statement, in turns."""
    bench.ready_for(kind)
    seconds = lot.uniform(0, usual.seconds[kind])
    after = lot.randint(1, max(1, usual.statements[kind]))
    if at % 2:
        bench.control.kill_after_statements(after)
        return bench.move(kind, lambda: f"at statement {after}")

    def by_the_clock() -> str:
        time.sleep(seconds)
        bench.control.kill()
        return f"after {seconds:.2f} s"

    return bench.move(kind, by_the_clock)


def report(rounds: Sequence[Round], seen: Seen, workers: int) -> dict[str, Any]:
    killed = [each for each in rounds if each.killed != "not killed"]
    faults = [fault for each in rounds for fault in each.faults]
    return {
        "kills": len(killed),
        "moves": len(rounds),
        "workers": workers,
        "moves_with_faults": sum(bool(each.faults) for each in rounds),
        "looks": seen.looks,
        "looks_without_one_champion": sum(
            count for champions, count in seen.champions.items() if champions != 1
        ),
        "calls": seen.calls,
        "calls_failed": len(seen.errors),
        "calls_answered_by_another": len(seen.strange),
        "settled_after_kill_s_median": round(
            statistics.median([each.took_s for each in killed] or [0.0]), 2
        ),
        "settled_after_kill_s_max": round(max([each.took_s for each in killed] or [0.0]), 2),
        "faults": faults[:20],
        "errors": seen.errors[:5],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=3, help="gateways of one worker each")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--patience", type=float, default=120, help="seconds, for each step")
    parser.add_argument("--drain", type=float, default=2, help="seconds: `engine.drain_s`")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--role", choices=["controller"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "controller":
        return control(given.folder)
    lot = random.Random(given.seed)
    with stage(given.workers, given.patience, given.drain) as bench:
        usual, rounds = undisturbed(bench)
        for at in range(given.kills):
            kind = KINDS[at % len(KINDS)]
            try:
                done = killing(bench, kind, usual, at, lot)
            except TimeoutError as error:
                patience = given.patience
                rounds.append(Round(kind, "and not done", patience, patience, [str(error)]))
                break
            rounds.append(done)
            faults = "; ".join(done.faults) or "as it should be"
            print(f"{kind}, killed {done.killed}, done {done.took_s:.1f} s: {faults}", flush=True)
        found = report(rounds, bench.lookers.seen, given.workers)
    for name, value in found.items():
        print(f"{name:<32}{value}")
    if given.json:
        print(json.dumps(found))
    broken = ("moves_with_faults", "looks_without_one_champion", "calls_failed")
    return 1 if any(found[name] for name in (*broken, "calls_answered_by_another")) else 0


if __name__ == "__main__":
    sys.exit(main())
