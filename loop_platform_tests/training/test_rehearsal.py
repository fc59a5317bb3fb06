"""What earlier cycles trained on and is learnt again."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycle_corrections, decisions
from loop_platform.defs.curation import due
from loop_platform.defs.training.rehearsal import drawn, lines, rehearsal, sample
from loop_platform.identity import new_id
from loop_platform.release.registry import Release
from loop_platform.release.states import State
from loop_platform_tests.curation.accepting import accepted
from loop_platform_tests.review.queues import corrected

_NONE = pl.DataFrame(schema={"task": pl.String, "messages": pl.String})


def _learnt(*, cycles: int, of_each_mode: dict[str, int]) -> pl.DataFrame:
    rows = [
        (f"{cycle}-{mode}-{n}", "commands", f"{cycle} {mode} {n}", f"000{cycle}", mode)
        for cycle in range(1, cycles + 1)
        for mode, size in of_each_mode.items()
        for n in range(size)
    ]
    columns = ["decision_id", "task", "messages", "cycle", "cluster"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_cycles_and_their_failure_modes_take_turns() -> None:
    earlier = _learnt(cycles=3, of_each_mode={"lights": 20, "timers": 2})

    some = sample(earlier, _NONE, 18, lot="4")

    assert some.group_by("cycle").len()["len"].to_list() == [6, 6, 6]
    by_mode = dict(some.group_by("cluster").len().iter_rows())
    assert by_mode == {"lights": 12, "timers": 6}
    assert sample(earlier, _NONE, 1000, lot="4").height == earlier.height


def test_the_same_lot_draws_the_same_rows_and_another_cycles_draws_others() -> None:
    earlier = _learnt(cycles=1, of_each_mode={"lights": 20})

    some = set(sample(earlier, _NONE, 10, lot="2")["decision_id"])

    assert some == set(sample(earlier.reverse(), _NONE, 10, lot="2")["decision_id"])
    assert some != set(sample(earlier, _NONE, 10, lot="3")["decision_id"])
    assert drawn(400, 2.5) == 1000


def test_a_conversation_that_was_corrected_anew_is_not_rehearsed() -> None:
    earlier = _learnt(cycles=2, of_each_mode={"lights": 1})
    anew = pl.DataFrame({"task": ["commands", "chat"], "messages": ["1 lights 0", "2 lights 0"]})

    assert sample(earlier, anew, 10, lot="3")["decision_id"].to_list() == ["2-lights-0"]


def test_rehearsed_is_what_the_champion_learnt_and_people_stand_by(database: sa.Engine) -> None:
    said = ("pause the tv", "open the blinds in the attic", "what time is it", "feed the cat")
    calls = [corrected(each, f"answer to {each}") for each in (*said, "What time is it?")]
    ids = accepted(database, *calls)
    splits = ("train", "train", "train", "quarantine", "heldout")
    with database.begin() as connection:
        cycle = due.open_improvement(connection, "for the test")
        rows = [
            {"cycle": cycle, "decision_id": one, "contributor": "a", "split": split}
            for one, split in zip(ids, splits, strict=True)
        ]
        connection.execute(sa.insert(cycle_corrections), rows)
        taken_back = {"item_id": calls[0].item_id, "reviewer": "bob", "verdict": "reject"}
        connection.execute(sa.insert(decisions).values(decision_id=new_id(), **taken_back))
        # The answer to a question that is near to a held-out one is not learnt again either.
        now = due.open_improvement(connection, "another")
        found = rehearsal(connection, _champion(cycle), _NONE, rows=10, cycle=now)
        of_nobody = rehearsal(connection, _champion(None), _NONE, rows=10, cycle=now)

    assert found["cycle"].to_list() == [cycle]
    [line] = lines(found)
    assert line["messages"][-1]["content"] == "open the blinds in the attic"
    assert line["answer"] == "answer to open the blinds in the attic"
    assert of_nobody.is_empty()


def _champion(cycle: str | None) -> Release:
    now = datetime.now(UTC)
    return Release(
        release="r-1",
        cycle=cycle,
        parent=None,
        adapter=None,
        adapter_path=None,
        weights_path=Path("weights"),
        drill=False,
        state=State.CHAMPION,
        record={},
        created_at=now,
        state_since=now,
    )
