"""The champion as the anchor: what the model said of the replay rows before training began.

Kept are its last hidden states at the answer positions, not its logits: the vocabulary projection
is frozen, so the exact logits come back with one product, at 1.2 % of the memory here.
"""

from collections.abc import Sequence
from typing import Any

from loop_platform.engine.batches import Batch, collate
from loop_platform.engine.rows import Row


class Anchor:
    """Hidden states by row, at the positions that predict its answer."""

    def __init__(self, states: dict[int, Any]) -> None:
        self._states = states

    def states(self, batch: Batch) -> Any:  # noqa: ANN401
        """[replayed answer tokens of the batch, width], in the batch's order."""
        import torch

        return torch.cat([self._states[row] for row in batch.rows])


def remember(model: Any, rows: Sequence[Row], budget: int) -> Anchor:  # noqa: ANN401
    """Look at every replay row once, without gradients."""
    import torch

    replayed = [index for index, row in enumerate(rows) if row.replay]
    replayed.sort(key=lambda index: len(rows[index].ids))
    states: dict[int, Any] = {}
    with torch.inference_mode():
        while replayed:
            longest = len(rows[replayed[-1]].ids)
            chosen = [replayed.pop() for _ in range(min(len(replayed), max(1, budget // longest)))]
            batch = collate(rows, chosen)
            parts = [rows[index].answer_tokens for index in chosen]
            found = model.answer_states(batch).split(parts)
            states |= {index: part.clone() for index, part in zip(chosen, found, strict=True)}
    return Anchor(states)
