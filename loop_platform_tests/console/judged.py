"""Releases with a past: moves and trials, with evidence from the gates themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from loop_platform.chat import Reply
from loop_platform.database import cycles
from loop_platform.defs.evaluation import offline_gates, shadow_gates
from loop_platform.defs.evaluation.course import course
from loop_platform.defs.evaluation.evidence import Gate, evidence, progress
from loop_platform.defs.evaluation.leak import UNSEEN
from loop_platform.defs.evaluation.shadow_fronts import fronts, readings
from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.exposure import Exposure
from loop_platform.release import machine, registry, trials
from loop_platform.release.states import State
from loop_platform.settings import FrontSettings, GateSettings

GATES = GateSettings()
TASKS = {"home": (0.05, 0.62), "invoices": (0.9, 0.91), "search": (0.82, 0.83)}
"""Success of champion and candidate by task."""


@dataclass
class Past:
    """Writes what the controller and Dagster would have written."""

    connection: sa.Connection
    folder: Path

    def base(self) -> str:
        """The base model, as champion."""
        name = registry.register_base(
            self.connection,
            weights="ba5e" * 16,
            weights_path=self.folder,
            record={},
            actor="controller",
        )
        machine.install_first(self.connection, name, actor="controller", reason="the first start")
        return name

    def candidate(self, adapter: str, parent: str, *, cycle: str = "0001") -> str:
        """A release that was trained on top of another, and passed the offline gates."""
        self.connection.execute(
            sa.insert(cycles).values(cycle=cycle, kind="improvement", reason="test")
        )
        name = registry.register(
            self.connection,
            cycle=cycle,
            parent=parent,
            adapter=adapter,
            adapter_path=self.folder,
            weights_path=self.folder,
            drill=False,
            record={"steps": 120, "seconds": 301.5, "corrections": 348, "replay": 140},
        )
        shown = evidence(parent, offline())
        self.move(name, State.EVALUATED, "dagster", "it passed 7 offline gates", shown)
        return name

    def move(
        self, release: str, state: State, actor: str, reason: str, shown: dict[str, Any]
    ) -> None:
        machine.move(self.connection, release, state, actor=actor, reason=reason, evidence=shown)

    def shadow(self, release: str, champion: str, pairs: int = 900) -> dict[str, Any]:
        """Its shadow after so many pairs; concluded where it is settled."""
        self.move(release, State.SHADOW, "controller", "it passed the offline gates", {})
        return self._trial(release, State.SHADOW, shadow_evidence(champion, pairs))

    def canary(self, release: str, champion: str, calls: int = 160) -> dict[str, Any]:
        """The same of its canary."""
        won = "every front is won or held on mirrored traffic"
        self.move(release, State.CANARY, "dagster", won, {"shadow": "passed"})
        return self._trial(release, State.CANARY, canary_evidence(champion, calls))

    def _trial(self, release: str, stage: State, shown: dict[str, Any]) -> dict[str, Any]:
        planned, budget = (100, 5000) if stage is State.SHADOW else (20, 2000)
        trials.begin(
            self.connection,
            release,
            stage,
            champion=shown["champion"],
            planned=planned,
            budget=budget,
            fronts=FrontSettings(),
        )
        if shown["verdict"] == "not known":
            trials.look(self.connection, release, stage, shown)
        else:
            trials.conclude(self.connection, release, stage, shown["verdict"], shown)
        return shown


def offline() -> list[Gate]:
    """What the offline gates said of a good candidate."""
    corrected = [(False, True)] * 60 + [(False, False)] * 27
    replies = [Reply("", 0.4, prompt_tokens=9, completion_tokens=9)] * 200
    said = "87 held-out rows compared with 488 trained on; none is among them"
    return [
        Gate(UNSEEN, True, said),
        offline_gates.corrections_won(["home"] * 87, corrected, GATES),
        offline_gates.earlier_kept([], GATES),
        offline_gates.general_kept(["chat"] * 120, [True] * 120, [True] * 119 + [False], GATES),
        offline_gates.safety_kept([(True, True)] * 46 + [(False, False)] * 2, GATES),
        offline_gates.answers_come(replies, GATES),
        offline_gates.cost_kept(
            {"champion": (replies, 20), "candidate": (replies, 90)}, 24, 0.2, GATES
        ),
    ]


def shadow_evidence(champion: str, pairs: int) -> dict[str, Any]:
    """Of so many pairs, most of them of the first task."""
    random = np.random.default_rng(4)
    names = random.choice(list(TASKS), pairs, p=[0.5, 0.3, 0.2]).tolist()
    old, new = ([bool(random.random() < TASKS[name][side]) for name in names] for side in (0, 1))
    # Mostly the same calls: what one does in the easy tasks, the other does.
    new = [
        was if name != "home" and random.random() < 0.95 else now
        for name, was, now in zip(names, old, new, strict=True)
    ]
    costs = [0.1 * float(random.normal()) + 0.05 for _ in names]
    outcomes = pl.DataFrame(
        {
            "task": names,
            "champion": old,
            "candidate": new,
            "cost": [max(-1.0, min(1.0, cost)) for cost in costs],
            "failed": [False] * pairs,
            "itself": pl.Series([None] * pairs, dtype=pl.Boolean),
            "alike": pl.Series([None] * pairs, dtype=pl.Boolean),
        }
    )
    found = fronts(outcomes, ["home"], FrontSettings())
    known = readings(found)
    gates = shadow_gates.judge(outcomes, known, ["home"])
    verdict, reason = shadow_gates.verdict(gates, known)
    courses = {
        name: list(course(each.goal, each.after, len(each.values)).moments)
        for name, each in found.items()
    }
    return {
        **progress(champion, gates, known, pairs),
        "tasks": sorted(TASKS),
        "courses": courses,
        "verdict": verdict,
        "reason": reason,
    }


def canary_evidence(champion: str, calls: int) -> dict[str, Any]:
    """Of so many calls, beside ten times as many of the champion."""
    random = np.random.default_rng(9)

    def side(count: int, offset: int, objections: float, refusals: float) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "call_id": [f"{offset + at * 11:08}" for at in range(count)],
                "task": random.choice(list(TASKS), count).tolist(),
                "latency_ms": random.gamma(4, 200, count).tolist(),
                "failed": [False] * count,
                "objected": (random.random(count) < objections).tolist(),
                "outcome": pl.Series([None] * count, dtype=pl.Boolean),
                "refused": (random.random(count) < refusals).tolist(),
            }
        )

    seen = Exposure(side(calls, 0, 0.03, 0.0), side(10 * calls, 1, 0.2, 0.01))
    found = canary_gates.fronts(seen, FrontSettings(), GATES.latency_budget_ms)
    known = canary_gates.readings(found)
    gates = canary_gates.judge(found, known)
    verdict, reason = canary_gates.verdict(gates, known)
    courses = {
        name: list(course(each.goal, each.after, each.candidates).moments)
        for name, each in found.items()
    }
    return {
        **progress(champion, gates, known, calls),
        "tasks": sorted(TASKS),
        "courses": courses,
        "verdict": verdict,
        "reason": reason,
    }
