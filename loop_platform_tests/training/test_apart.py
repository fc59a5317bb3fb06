"""Which rows the trainer holds apart."""

import json
from collections.abc import Sequence

import polars as pl

from loop_platform.defs.training import apart


def _corrected(said: Sequence[str], embeddings: Sequence[Sequence[float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "decision_id": [f"d{number}" for number in range(len(said))],
            "messages": [json.dumps([{"role": "user", "content": text}]) for text in said],
            "prompt": said,
            "embedding": embeddings,
        }
    )


def _one_of(many: int, at: int) -> list[float]:
    return [float(place == at) for place in range(many)]


def test_near_duplicates_are_held_apart_together() -> None:
    """A hundred rows, each there twice in other words: of no two is one learnt and one measured."""
    pairs = [_one_of(50, row // 2) for row in range(100)]
    held = apart.corrections(_corrected([f"say number {n}" for n in range(100)], pairs), 0.97)

    assert len(held) == 6
    assert {int(decision[1:]) // 2 for decision in held} == {
        int(decision[1:]) // 2 for decision in held if int(decision[1:]) % 2
    }


def test_the_same_rows_are_held_apart_in_any_order() -> None:
    frame = _corrected([f"say {n}" for n in range(100)], [_one_of(100, n) for n in range(100)])

    assert apart.corrections(frame, 0.97) == apart.corrections(frame.reverse(), 0.97)


def test_too_few_rows_to_choose_by_are_all_learnt() -> None:
    frame = _corrected([f"say {n}" for n in range(40)], [_one_of(40, n) for n in range(40)])

    assert apart.corrections(frame, 0.97) == frozenset()


def test_replayed_lines_are_drawn_by_what_they_say() -> None:
    lines = [{"messages": [], "answer": str(number)} for number in range(40)]
    marked = apart.marked(lines, 3)

    assert [line["answer"] for line in marked] == [line["answer"] for line in lines]
    held = {line["answer"] for line in marked if line.get("apart")}
    assert len(held) == 3
    again = apart.marked(lines[::-1], 3)
    assert {line["answer"] for line in again if line.get("apart")} == held
    assert apart.marked([], 3) == []
