"""The champion as the anchor: what the model said of the replay rows before training began.

Kept are its last hidden states at the answer positions, not its logits: the vocabulary projection
is frozen, so the exact logits come back with one product, at 1.2 % of the memory here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from loop_platform.engine.batches import Batch, collate
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.rows import Row


class Anchor:
    """Hidden states by row, at the positions that predict its answer."""

    def __init__(self, states: dict[int, Any]) -> None:
        self._states = states

    def states(self, batch: Batch) -> Any:  # noqa: ANN401
        """[replayed answer tokens of the batch, width], in the batch's order."""
        import torch

        return torch.cat([self._states[row] for row in batch.rows])


def remember(model: Any, rows: Sequence[Row], budget: int, side_by_side: Lanes) -> Anchor:  # noqa: ANN401
    """Look at every replay row once, without gradients."""
    import torch

    def look(chosen: Sequence[int]) -> dict[int, Any]:
        with torch.no_grad():
            parts = [rows[index].answer_tokens for index in chosen]
            found = model.answer_states(collate(rows, chosen)).split(parts)
            return {index: part.clone() for index, part in zip(chosen, found, strict=True)}

    seen = side_by_side.run(look, list(_replayed(rows, budget)))
    return Anchor({row: state for states in seen for row, state in states.items()})


def _replayed(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """The replay rows in batches of at most `budget` padded tokens, the longest first."""
    left = [index for index, row in enumerate(rows) if row.replay]
    left.sort(key=lambda index: len(rows[index].ids))
    while left:
        count = max(1, budget // len(rows[left[-1]].ids))
        yield [left.pop() for _ in range(min(len(left), count))]
