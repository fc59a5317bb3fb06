"""The log-probability of whole answers, end of turn included: what preferences are about."""

from collections.abc import Sequence
from typing import Any

from loop_platform.engine import batches
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.losses import surprises
from loop_platform.engine.network import Network
from loop_platform.engine.rows import Row


def log_probabilities(network: Network, rows: Sequence[Row], chosen: Sequence[int]) -> Any:  # noqa: ANN401
    """[chosen]: of the answer of each of these rows, the sum over its tokens (nats)."""
    import torch

    batch = batches.collate(rows, chosen)
    lengths = torch.tensor([rows[row].answer_tokens for row in chosen])
    answers = torch.arange(len(lengths)).repeat_interleave(lengths)
    by_token = surprises(network.answer_states(batch), network.vocabulary, batch.targets)
    return -by_token.new_zeros(len(lengths)).index_add(0, answers, by_token)


def ask(
    network: Network, rows: Sequence[Row], parts: Sequence[Sequence[int]], side_by_side: Lanes
) -> dict[int, float]:
    """The same by row, of rows in parts and without gradients: what the network makes of them as it
    is now."""
    import torch

    def told(part: Sequence[int]) -> list[float]:
        with torch.no_grad():
            said: list[float] = log_probabilities(network, rows, part).tolist()
            return said

    found = side_by_side.run(told, parts)
    return {
        row: said
        for part, answers in zip(parts, found, strict=True)
        for row, said in zip(part, answers, strict=True)
    }
