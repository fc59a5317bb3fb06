"""What callers got and objected to, read off the journal and compared."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from loop_platform.database import canary_answers, objections
from loop_platform.identity import first_id, milliseconds_of, new_id
from loop_platform.lake import Lake
from loop_platform.observer.observer import Observer
from loop_platform.release.conduct import Comparison, in_canary, in_watch
from loop_platform.release.states import State
from loop_platform.release.trials import Trial
from loop_platform.settings import FrontSettings, Settings
from loop_platform_tests.segments import a_call, a_feedback, ship

SORRY = "I'm sorry, I can't help with that."
NEW = {"release": "new-1", "route": "canary"}


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


@pytest.fixture
def observer(settings: Settings, database: sa.Engine) -> Observer:
    return Observer(settings, database)


def trial(stage: State, seconds_ago: float) -> Trial:
    began = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    fronts = FrontSettings()
    return Trial("new-1", stage, "base-1", 1, 1, fronts, began, None, None, None)


def canary(database: sa.Engine, seconds_ago: float = 60) -> Comparison:
    with database.connect() as connection:
        return in_canary(connection, trial(State.CANARY, seconds_ago))


def test_each_side_has_its_answers_refusals_and_tokens(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    calls = [
        a_call(answer=SORRY, completion_tokens=9, **NEW),
        a_call(completion_tokens=3, **NEW),
        a_call(completion_tokens=None, **NEW),
        a_call(status=502, complete=False, **NEW),
        a_call(completion_tokens=2),
    ]
    ship(database, lake, calls)
    observer.count()
    mine, theirs = canary(database).candidate, canary(database).champion
    assert (mine.answers, mine.declined) == (3, 1)
    assert (mine.tokens.n, mine.tokens.total, mine.tokens.squares) == (2, 12, 90)
    assert (theirs.answers, theirs.declined, theirs.tokens.total) == (1, 0, 2)


def test_an_objection_is_of_the_release_that_answered_and_counts_once(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    mine, theirs, praised = a_call(**NEW), a_call(), a_call(**NEW)
    bad = {"kind": "rating", "correction": None, "rating": 1}
    said = [
        a_feedback(mine.call_id),
        a_feedback(mine.call_id, **bad),
        a_feedback(theirs.call_id, kind="outcome", correction=None, outcome=False),
        a_feedback(praised.call_id, kind="rating", correction=None, rating=3),
    ]
    ship(database, lake, said)  # another worker's segment can come before the call's own
    ship(database, lake, [mine, theirs, praised])
    ship(database, lake, [a_feedback(mine.call_id, **bad)])
    observer.count()
    met = canary(database)
    assert (met.candidate.objected, met.candidate.accepted) == (1, 1)
    assert (met.champion.objected, met.champion.accepted) == (1, 0)


def test_what_was_before_a_trial_is_not_of_it(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    before = new_id(milliseconds_of(new_id()) - 300_000)
    ship(database, lake, [a_call(call_id=before), a_feedback(before)])
    observer.count()
    assert canary(database).champion.answers == canary(database).champion.objected == 0
    assert canary(database, seconds_ago=400).champion.objected == 1
    with database.connect() as connection:
        watched = in_watch(connection, trial(State.CHAMPION, 120), 600)
    assert (watched.candidate.answers, watched.champion.answers) == (0, 1)
    assert (watched.candidate.objected, watched.champion.objected) == (0, 1)


def test_what_no_trial_reaches_back_to_is_forgotten(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    old = first_id(1_700_000_000_000)
    late = a_call(**NEW)
    ship(database, lake, [a_call(call_id=old, **NEW), late, a_feedback(old)])
    observer.count()
    observer.forget()
    with database.connect() as connection:
        assert list(connection.scalars(sa.select(canary_answers.c.call_id))) == [late.call_id]
        assert list(connection.scalars(sa.select(objections.c.call_id))) == []
