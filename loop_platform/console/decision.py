"""A decision as people read it: what was asked of a release, what it showed, who decided, and who
is waited for. Made of the audit log and the trials; nothing is computed anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup

from loop_platform.console.course import Course, points
from loop_platform.defs.evaluation import leak, offline_gates, shadow_gates
from loop_platform.defs.evaluation.bench import JUDGE, NONE, SAME
from loop_platform.defs.evaluation.shadow_fronts import COMPLETION, FOCUS
from loop_platform.defs.evaluation.shadow_gates import FOUND_BETTER
from loop_platform.defs.release import canary_gates
from loop_platform.release import approval, registry, requests, trials
from loop_platform.release.approval import Wait
from loop_platform.release.registry import Evidence, Move, Release
from loop_platform.release.requests import Request
from loop_platform.release.states import State
from loop_platform.release.trials import Trial
from loop_platform.settings import GateSettings

_ASKS = leak.NAMES | offline_gates.NAMES | shadow_gates.NAMES | canary_gates.NAMES

_URGENT = ("lost", "not known", "won", "held")

_UNITS = {State.SHADOW: "pairs", State.CANARY: "calls", State.CHAMPION: "calls"}

_STANDS = {
    State.REGISTERED: ("Trained, and not judged yet", "open"),
    State.EVALUATED: ("Passed the offline gates", "open"),
    State.SHADOW: ("Answers unseen beside the champion", "open"),
    State.CANARY: ("Answers a few users, and is watched", "open"),
    State.CHAMPION: ("Serves everyone", "good"),
    State.RETIRED: ("Served once, and was followed", "quiet"),
    State.REJECTED: ("Turned away", "bad"),
    State.ROLLED_BACK: ("Served, and was taken back", "bad"),
}


@dataclass(frozen=True)
class Front:
    """One thing that counts: what had to be shown of it, and what is known."""

    name: str
    verdict: str
    goal: str
    n: int
    interval: str
    sides: Sequence[tuple[str, str, Evidence]]
    """Champion and candidate, where both are shares: a label, a kind, and the rate."""
    picture: Markup


@dataclass(frozen=True)
class Gate:
    """What was asked, and what was found. `passed` is None while it is open."""

    asks: str
    found: str
    passed: bool | None


@dataclass(frozen=True)
class Stage:
    """One of the places where a candidate is judged, or its first hour as champion."""

    name: str
    verdict: str
    reason: str
    against: str | None
    """The champion that it was compared with."""
    seen: str
    started_at: datetime | None
    ended_at: datetime | None
    fronts: Sequence[Front]
    gates: Sequence[Gate]
    scores: Sequence[Evidence]
    """What is beside the fronts."""
    judged: Sequence[str] = ()
    """Of each task that no validator tells, who judged its pairs."""


@dataclass(frozen=True)
class Step:
    """A move on the way, with how long the state before it lasted."""

    state: State
    actor: str
    reason: str
    at: datetime
    after_s: float | None


@dataclass(frozen=True)
class Decision:
    """Everything that the page says."""

    title: str
    tone: str
    sentence: str
    waits_for: Sequence[str]
    wait: Wait | None
    steps: Sequence[Step]
    stages: Sequence[Stage]


def decision(connection: sa.Connection, release: Release, gates: GateSettings) -> Decision:
    """The decision on a release, as far as it has come."""
    moves = registry.moves(connection, release.release)
    held = [
        trial
        for stage in (State.SHADOW, State.CANARY, State.CHAMPION)
        if (trial := trials.find(connection, release.release, stage)) is not None
    ]
    waits = approval.waits(connection, gates)
    wait = next((each for each in waits if each.release == release.release), None)
    current = next((trial for trial in held if trial.stage is release.state), None)
    title, tone = _STANDS[release.state]
    pending = requests.pending(connection, release.release)
    return Decision(
        title="Waits for a person" if wait else title,
        tone="wait" if wait else tone,
        sentence=_sentence(moves, current),
        waits_for=[*_waits_for(release, wait, current), *(_asked(each) for each in pending)],
        wait=wait,
        steps=_steps(moves),
        stages=[*_offline(moves), *(_trial(trial) for trial in held)],
    )


def _sentence(moves: Sequence[Move], current: Trial | None) -> str:
    """The reason of the last word that was spoken on it."""
    known = (current.evidence or {}).get("reason") if current is not None else None
    return _worded(str(known or (moves[-1].reason if moves else "nobody registered it")))


def _waits_for(release: Release, wait: Wait | None, current: Trial | None) -> list[str]:
    if wait is not None:
        asking = ", ".join(wait.approval.tasks)
        for_whom = f"; asked for by {asking}" if asking else ""
        return [f"a person, who sends it on or rejects it{for_whom}"]
    if release.state is State.REGISTERED:
        return ["an engine, and the offline gates"]
    if release.state is State.EVALUATED:
        return ["the controller, which begins its shadow once an engine serves it"]
    if current is not None and current.verdict is None:
        unit = _UNITS[current.stage]
        people = int((current.evidence or {}).get("people", {}).get("waiting", 0))
        judges = [f"people, who judge {people:,} pairs on the page Pairs"] if people else []
        if current.looked_at >= current.budget:
            return judges
        return [*judges, f"traffic: it is looked at again after {current.next_look:,} {unit}"]
    return []


def _asked(request: Request) -> str:
    return f"the controller: {request.actor} asked for {request.to_state}"


def _steps(moves: Sequence[Move]) -> list[Step]:
    """The moves as steps; of a candidate that waits in between, how long."""
    before: Iterable[Move | None] = [None, *moves]
    return [
        Step(
            move.to_state,
            move.actor,
            _worded(move.reason),
            move.moved_at,
            None if last is None else (move.moved_at - last.moved_at).total_seconds(),
        )
        for last, move in zip(before, moves, strict=False)
    ]


def _offline(moves: Sequence[Move]) -> list[Stage]:
    """What the offline gates said, as the move that followed from it has it."""
    judged = next(
        (
            move
            for move in moves
            if move.from_state is State.REGISTERED and "gates" in move.evidence
        ),
        None,
    )
    if judged is None:
        return []
    evidence = judged.evidence
    return [
        Stage(
            name="offline",
            verdict=str(evidence.get("verdict", "")),
            reason=judged.reason,
            against=evidence.get("champion"),
            seen="asked once, on prompts that are the same for both",
            started_at=None,
            ended_at=judged.moved_at,
            fronts=[],
            gates=_gates(evidence, over=True),
            scores=evidence.get("scores", []),
        )
    ]


def _trial(trial: Trial) -> Stage:
    evidence = trial.evidence or {}
    unit = _UNITS[trial.stage]
    names = evidence.get("fronts", {})
    scores = {_front_of(score): score for score in evidence.get("scores", [])}
    return Stage(
        name=trial.stage,
        verdict=trial.verdict or ("open" if trial.ended_at is None else "not known"),
        reason=_worded(str(evidence.get("reason", "not looked at yet"))),
        against=trial.champion,
        seen=f"{trial.looked_at:,} {unit} judged; the first verdict after {trial.planned:,},"
        f" {trial.budget:,} at most",
        started_at=trial.started_at,
        ended_at=trial.ended_at,
        fronts=[
            _front(name, found, scores.get(name), evidence.get("courses", {}).get(name, []), unit)
            for name, found in sorted(names.items(), key=_first_things_first)
        ],
        gates=_gates(evidence, over=trial.ended_at is not None),
        scores=[score for name, score in scores.items() if name not in names],
        judged=[_judged(task, each) for task, each in evidence.get("judging", {}).items()],
    )


def _judged(task: str, record: Mapping[str, Any]) -> str:
    """Who judged the pairs of a task, and how its judge stands beside people."""
    most_first = sorted(record["by"].items(), key=lambda each: (-each[1], each[0]))
    by = [f"{pairs} {_how(judged_by)}" for judged_by, pairs in most_first]
    waiting = [f"{record['wait']} wait for a verdict"] if record["wait"] else []
    said = f"{task}: {record['pairs']} pairs that no validator tells, {', '.join([*by, *waiting])}"
    judge = record["judge"]
    if judge is None:
        return said
    share = judge["agreement"]
    agrees = (
        f"judge {judge['judge']} says what people say in {share['rate']:.0%}"
        f" (n {share['n']}, {share['low']:.0%} to {share['high']:.0%})"
    )
    return f"{said}; {record['problem'] or judge['refusal'] or agrees}"


def _how(judged_by: str) -> str:
    """In words; of a judge, without the identity that follows its name."""
    if judged_by.startswith(JUDGE):
        return f"by {judged_by.rpartition(' ')[0]}"
    return {SAME: "with the same answer", NONE: "without an answer"}.get(
        judged_by, f"by {judged_by}"
    )


def _front(
    name: str,
    found: Mapping[str, Any],
    score: Evidence | None,
    moments: Sequence[Sequence[float]],
    unit: str,
) -> Front:
    goal = 0.0 if found["aim"] == "win" else -float(found["margin"])
    seen = [(int(n), float(low), float(high)) for n, low, high in moments]
    interval = (
        "nothing was seen"
        if found["mean"] is None
        else f"{points(found['low'])} to {points(found['high'])}"
    )
    return Front(
        name=name,
        verdict=found["verdict"],
        goal=_goal(found["aim"], float(found["margin"])),
        n=found["n"],
        interval=interval,
        sides=_sides(score),
        picture=Course(seen, goal, found["verdict"], unit).picture(
            f"{name}, candidate minus champion: {interval} after {found['n']:,} {unit}"
        ),
    )


def _first_things_first(named: tuple[str, Mapping[str, Any]]) -> tuple[bool, int, str]:
    """What was to be won, then what stands in the way, then the rest."""
    name, found = named
    return found["aim"] != "win", _URGENT.index(found["verdict"]), name


def _worded(reason: str) -> str:
    """A reason with the gates that it names in words."""
    for name in _ASKS:
        reason = reason.replace(name, name.replace("_", " "))
    return reason


def _goal(aim: str, margin: float) -> str:
    match aim:
        case "win":
            return "to be won: better than the champion"
        case "hold":
            return f"to be held: at most {100 * margin:g} points below"
        case _:
            return f"watched: not shown to be more than {100 * margin:g} points below"


def _sides(score: Evidence | None) -> list[tuple[str, str, Evidence]]:
    if score is None:
        return []
    better = " better" if score["metric"] == FOUND_BETTER else ""
    found = [
        ("champion itself", "self", score.get("self")),
        (f"champion{better}", "champion", score.get("champion")),
        (f"candidate{better}", "candidate", score.get("candidate")),
    ]
    return [(label, kind, rate) for label, kind, rate in found if rate]


def _front_of(score: Evidence) -> str:
    """The front whose two sides a score of a trial shows."""
    task, metric = str(score["task"]), str(score["metric"])
    if task == "corrected tasks":
        return FOCUS
    if metric in ("success", "agreement on mirrored calls", FOUND_BETTER):
        return f"{COMPLETION} {task}"
    return metric if task == "all tasks" else f"{metric} of {task}"


def _gates(evidence: Evidence, *, over: bool) -> list[Gate]:
    """In the order of their evidence; what has not passed is open while the trial goes on."""
    return [
        Gate(
            asks=_ASKS.get(gate["gate"], str(gate["gate"]).replace("_", " ")),
            found=str(gate["sentence"]),
            passed=True if gate["passed"] else False if over else None,
        )
        for gate in evidence.get("gates", [])
    ]
