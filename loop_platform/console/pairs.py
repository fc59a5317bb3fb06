"""The page on which people judge pairs, and the API behind it: which of two answers is better.

Nobody is told which answer is whose. Left and right are thrown by a coin and kept
(loop_platform/judging/people.py); which pair comes next says
loop_platform/defs/evaluation/next_pair.py.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, cast

import polars as pl
import sqlalchemy as sa
from starlette.responses import Response

from loop_platform import manifest
from loop_platform.console import replies
from loop_platform.console.replies import Refused
from loop_platform.console.session import Visit, needs
from loop_platform.database import releases, trials
from loop_platform.defs.evaluation.next_pair import in_order
from loop_platform.identity import first_id, hour_of
from loop_platform.judging import people
from loop_platform.judging.people import SAID, Said, SaidError, UnknownPairError
from loop_platform.release.states import State

_TABLE = "evaluation/shadow"


@dataclass(frozen=True)
class Pair:
    """A request and two answers."""

    pair_id: str
    task: str
    messages: list[dict[str, Any]]
    left: str
    right: str
    rubric: str


@needs("reviewer")
def next_pair(visit: Visit) -> Response:
    """The next pair; 204 when there is none. One that was given and not judged comes again."""
    pair = _take(visit)
    return Response(status_code=204) if pair is None else replies.json(asdict(pair))


@needs("reviewer")
def verdict(visit: Visit) -> Response:
    """Takes `{"verdict": "left" | "right" | "tie" | "both bad" | "skip"}`."""
    said = visit.body.get("verdict")
    if said not in SAID:
        raise Refused(400, f"{said!r} is no verdict; it is one of {', '.join(SAID)}")
    pair_id = visit.path("pair_id")
    try:
        with visit.console.database.begin() as connection:
            people.say(connection, visit.key.name, pair_id, cast(Said, said))
    except UnknownPairError as error:
        raise Refused(404, str(error)) from error
    except SaidError as error:
        raise Refused(409, str(error)) from error
    return replies.json({"pair_id": pair_id, "verdict": said})


@needs("reviewer")
def page(visit: Visit) -> Response:
    return replies.page(visit.request, "pairs.html", _context(visit))


@needs("reviewer")
def fragment(visit: Visit) -> Response:
    """The pair alone, for the page to put in its place."""
    return replies.page(visit.request, "pair.html", _context(visit))


def _context(visit: Visit) -> dict[str, Any]:
    pair = _take(visit)
    with visit.console.database.connect() as connection:
        today = people.said_today(connection, visit.key.name)
    return {
        "key": visit.key,
        "at": "pairs",
        "pair": pair,
        "today": today,
        "tasks": _tasks(visit),
    }


def _tasks(visit: Visit) -> list[str]:
    """Those that people judge."""
    return [task for task, each in visit.console.settings.judging.tasks.items() if each.people]


def _take(visit: Visit) -> Pair | None:
    """The pair that this person holds, or the next one that nobody else does."""
    tasks = _tasks(visit)
    if not tasks:
        return None
    console, person = visit.console, visit.key.name
    with console.database.begin() as connection:
        trial = _trial(connection)
        if trial is None or not console.lake.exists(path := f"{_TABLE}/{trial.cycle}.parquet"):
            return None
        outcomes = console.lake.read(path)
        if "judged_by" not in outcomes.columns:  # a look before there were judges
            return None
        # A cycle that was trained again has pairs of another release in its file.
        began = first_id(int(trial.started_at.timestamp() * 1000))
        outcomes = outcomes.filter(pl.col("pair_id") > began)
        if not visit.key.may("admin"):
            outcomes = outcomes.filter(tenant=visit.key.tenant)
        lease_s = console.settings.console.lease_s
        order = list(in_order(outcomes, tasks, trial.evidence or {}))
        people.one_at_a_time(connection)
        taken = people.taken(connection, trial.release, person, lease_s)
        held = people.held(connection, trial.release, person)
        free = [pair for pair in order if pair["pair_id"] not in taken]
        free.sort(key=lambda pair: pair["pair_id"] != held)
        return _shown(visit, connection, trial.release, free[0]) if free else None


def _shown(
    visit: Visit, connection: sa.Connection, release: str, pair: dict[str, Any]
) -> Pair | None:
    pair_id, task = pair["pair_id"], pair["task"]
    asked = (
        manifest.calls(connection, visit.console.lake, hours={hour_of(pair_id)})
        .filter(pl.col("call_id") == pair_id)
        .select("messages")
        .collect()
    )
    side = people.show(connection, visit.key.name, release, task, pair_id)
    answers = [pair["champion_answer"] or "", pair["candidate_answer"] or ""]
    left, right = answers if side == "champion" else reversed(answers)
    messages = asked["messages"][0] if asked.height else None
    rubric = visit.console.settings.judging.tasks[task].rubric
    return Pair(pair_id, task, json.loads(messages or "[]"), left, right, rubric)


def _trial(connection: sa.Connection) -> sa.Row[Any] | None:
    """The shadow that goes on, or the last one: its pairs keep the judges calibrated."""
    return connection.execute(
        sa.select(trials.c.release, trials.c.evidence, trials.c.started_at, releases.c.cycle)
        .join(releases, releases.c.release == trials.c.release)
        .where(trials.c.stage == State.SHADOW, releases.c.cycle.is_not(None))
        .order_by(trials.c.verdict.is_not(None), trials.c.started_at.desc())
        .limit(1)
    ).one_or_none()
