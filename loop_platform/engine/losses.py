"""What training lowers: surprise at the corrections, and divergence from the champion elsewhere.

On a replayed answer the target is how the champion weighed every word there (Hinton, Vinyals and
Dean 2015, arXiv:1503.02531; Li and Hoiem 2016, arXiv:1606.09282), not the words that it said:
learning those sharpens the model, which is a way of moving it. With a weight of 0 they are learnt
like corrections.
"""

from dataclasses import dataclass
from typing import Any

from loop_platform.engine.batches import Batch
from loop_platform.engine.champion import Anchor
from loop_platform.engine.network import Network


@dataclass(frozen=True)
class Loss:
    """Of one batch: what to differentiate, and the figures for the record (nats a token)."""

    total: Any
    surprise: float | None
    """At the corrections' answers."""
    divergence: float | None
    """From the champion, on its own answers."""


def loss(network: Network, batch: Batch, anchor: Anchor, divergence_weight: float) -> Loss:
    import torch

    scores = torch.log_softmax(network.logits(network.answer_states(batch)).float(), dim=-1)
    if batch.replayed and divergence_weight > 0:
        with torch.no_grad():
            champion = torch.log_softmax(network.logits(anchor.states(batch)).float(), dim=-1)
        divergence = torch.nn.functional.kl_div(
            scores, champion, reduction="batchmean", log_target=True
        )
        return Loss(divergence_weight * divergence, None, float(divergence.detach()))
    surprise = torch.nn.functional.nll_loss(scores, batch.targets)
    return Loss(surprise, None if batch.replayed else float(surprise.detach()), None)
