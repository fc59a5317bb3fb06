"""The states of a release and the moves between them.

    registered ─► evaluated ─► shadow ─► canary ─► champion ─► retired
        └────────────┴────────────┴────────┴─► rejected   └──► rolled_back

A retired release can become champion again: that is what a rollback does.
"""

from enum import StrEnum


class State(StrEnum):
    REGISTERED = "registered"
    EVALUATED = "evaluated"
    SHADOW = "shadow"
    CANARY = "canary"
    CHAMPION = "champion"
    RETIRED = "retired"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"


MOVES: dict[State, frozenset[State]] = {
    State.REGISTERED: frozenset({State.EVALUATED, State.REJECTED}),
    State.EVALUATED: frozenset({State.SHADOW, State.REJECTED}),
    State.SHADOW: frozenset({State.CANARY, State.REJECTED}),
    State.CANARY: frozenset({State.CHAMPION, State.REJECTED}),
    State.CHAMPION: frozenset({State.RETIRED, State.ROLLED_BACK}),
    State.RETIRED: frozenset({State.CHAMPION}),
    State.REJECTED: frozenset(),
    State.ROLLED_BACK: frozenset({State.CHAMPION}),
}

# A release in one of these holds an engine slot and is on its way to production.
IN_TRIAL = frozenset({State.REGISTERED, State.EVALUATED, State.SHADOW, State.CANARY})


class MoveRefusedError(ValueError):
    """A move that the state machine does not have."""

    def __init__(self, release: str, current: State, target: State) -> None:
        allowed = ", ".join(sorted(MOVES[current])) or "none: it is a final state"
        super().__init__(
            f"release {release!r} is {current} and cannot become {target}; allowed: {allowed}"
        )


def check_move(release: str, current: State, target: State) -> None:
    """Raises `MoveRefusedError` unless the state machine has this move."""
    if target not in MOVES[current]:
        raise MoveRefusedError(release, current, target)
