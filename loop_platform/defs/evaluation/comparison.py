"""Who is compared with whom: the champion and a cycle's release, each on its engine."""

from dataclasses import dataclass

import sqlalchemy as sa

from loop_platform.chat import Chat
from loop_platform.release import registry, slots, trials
from loop_platform.release.registry import Release
from loop_platform.release.states import State
from loop_platform.release.trials import Trial


class NothingToCompareError(RuntimeError):
    """A champion or a candidate that is not there, or not on an engine."""


@dataclass(frozen=True)
class Comparison:
    """Both sides, ready to be asked."""

    champion: Release
    candidate: Release
    ask_champion: Chat
    ask_candidate: Chat


def comparison(connection: sa.Connection, cycle: str) -> Comparison:
    """The champion and the release of a cycle.

    Raises:
        NothingToCompareError: one of them is missing, or its engine is not ready.
    """
    champion, candidate = registry.champion(connection), registry.by_cycle(connection, cycle)
    if champion is None:
        raise NothingToCompareError("there is no champion yet: `loop up` installs the base model")
    if candidate is None:
        raise NothingToCompareError(f"cycle {cycle!r} has no release: materialise training/adapter")
    return Comparison(
        champion, candidate, on_engine(connection, champion), on_engine(connection, candidate)
    )


def planned(connection: sa.Connection, release: str, stage: State) -> Trial:
    """The plan of a release's trial.

    Raises:
        NothingToCompareError: the release was never in this stage.
    """
    trial = trials.find(connection, release, stage)
    if trial is None:
        raise NothingToCompareError(
            f"release {release!r} was never in {stage}: the controller begins that"
        )
    return trial


def on_engine(connection: sa.Connection, release: Release) -> Chat:
    """Where a release answers.

    Raises:
        NothingToCompareError: its engine is not ready.
    """
    slot = slots.serving(connection, release.release)
    if slot is None or not slot.ready:
        raise NothingToCompareError(
            f"release {release.release!r} is {release.state} and no engine serves it now;"
            " `loop status` shows the engines"
        )
    return Chat(slot.url, release.release)
