import pathlib

import pytest
import sqlalchemy as sa

from loop_platform.release import registry, requests
from loop_platform.release.registry import UnknownReleaseError
from loop_platform.release.states import MOVES, RefusedError, State, check_move

_FOLDER = pathlib.Path("somewhere")


def register(connection: sa.Connection, cycle: str = "0001") -> str:
    return registry.register(
        connection,
        cycle=cycle,
        parent=None,
        adapter="0123456789abcdef",
        adapter_path=_FOLDER,
        weights_path=_FOLDER,
        drill=False,
        record={"seed": 17},
    )


def test_a_release_is_named_by_its_adapters_hash_and_its_first_line_is_in_the_audit(
    database: sa.Engine,
):
    with database.begin() as connection:
        name = register(connection)

        assert name == "r-0123456789ab"
        assert registry.find(connection, name).record == {"seed": 17}
        assert registry.by_cycle(connection, "0001") == registry.find(connection, name)
        [move] = registry.moves(connection, name)
        assert (move.from_state, move.to_state) == (None, State.REGISTERED)


def test_the_same_adapter_of_the_same_cycle_is_the_same_release(database: sa.Engine):
    with database.begin() as connection:
        assert register(connection) == register(connection)
        assert len(registry.moves(connection)) == 1


def test_the_same_adapter_of_another_cycle_is_refused(database: sa.Engine):
    with database.begin() as connection:
        register(connection)
        with pytest.raises(ValueError, match="is already release 'r-0123456789ab'"):
            register(connection, cycle="0002")


def test_what_nobody_registered_is_named_in_the_error(database: sa.Engine):
    with database.begin() as connection, pytest.raises(UnknownReleaseError, match="'r-none'"):
        requests.request_move(
            connection, "r-none", State.REJECTED, actor="a", reason="b", evidence={}
        )


def test_a_request_without_a_reason_is_refused(database: sa.Engine):
    with database.begin() as connection:
        name = register(connection)
        with pytest.raises(ValueError, match="needs a reason"):
            requests.request_move(
                connection, name, State.REJECTED, actor="a", reason=" ", evidence={}
            )


def test_a_person_cannot_promote_what_was_not_evaluated(database: sa.Engine):
    with database.begin() as connection:
        name = register(connection)
        with pytest.raises(RefusedError, match="is registered: only a release in shadow"):
            requests.next_step(connection, name)


@pytest.mark.parametrize("state", list(State))
def test_every_state_says_where_it_leads(state: State):
    for target in State:
        if target in MOVES[state]:
            check_move("r-1", state, target)
        else:
            with pytest.raises(RefusedError, match=f"is {state} and cannot become {target}"):
                check_move("r-1", state, target)


def test_a_drill_becomes_neither_canary_nor_champion():
    with pytest.raises(RefusedError, match="is a drill"):
        check_move("r-1", State.SHADOW, State.CANARY, drill=True)
    with pytest.raises(RefusedError, match="is a drill"):
        check_move("r-1", State.CANARY, State.CHAMPION, drill=True)
