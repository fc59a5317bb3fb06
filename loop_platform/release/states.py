"""The states of a release and the moves between them.

    registered ─► evaluated ─► shadow ─► canary ─► champion ─► retired
        └────────────┴────────────┴────────┴─► rejected   └──► rolled_back

A retired release can become champion again: that is what a rollback does. The very first champion,
the base model, skips the trials: there is nothing to compare it with.
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

# A release in one of these holds an engine slot, or waits for one, on its way to production.
IN_TRIAL = frozenset({State.REGISTERED, State.EVALUATED, State.SHADOW, State.CANARY})

# A release that a champion was measured against, or that was one: its cycle is over.
SETTLED = frozenset({State.CHAMPION, State.REJECTED, State.ROLLED_BACK})

# Where the answers of a drill, which is bad on purpose, would reach people.
_EXPOSED = frozenset({State.CANARY, State.CHAMPION})


class RefusedError(ValueError):
    """A move that is not made; its text is the sentence for who asked."""


class MoveRefusedError(RefusedError):
    """A move that the state machine does not have."""

    def __init__(self, release: str, current: State, target: State) -> None:
        allowed = ", ".join(sorted(MOVES[current])) or "none: it is a final state"
        super().__init__(
            f"release {release!r} is {current} and cannot become {target}; allowed: {allowed}"
        )


class DrillRefusedError(RefusedError):
    """A drill on its way to people."""

    def __init__(self, release: str, target: State) -> None:
        super().__init__(
            f"release {release!r} is a drill: it is bad on purpose and never becomes {target}"
        )


def check_move(release: str, current: State, target: State, *, drill: bool = False) -> None:
    """Raises `RefusedError` unless the state machine has this move, for a drill or in earnest."""
    if target not in MOVES[current]:
        raise MoveRefusedError(release, current, target)
    if drill and target in _EXPOSED:
        raise DrillRefusedError(release, target)
