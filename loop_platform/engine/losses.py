"""What training lowers: surprise at the answers, and divergence from the champion on its own.

The replay of the champion's answers says what it said; the Kullback-Leibler term says how it
weighed every other word, which is what keeps the rest of the model where it was
(Hinton, Vinyals and Dean 2015, arXiv:1503.02531; Li and Hoiem 2016, arXiv:1606.09282).
"""

from dataclasses import dataclass
from typing import Any

from loop_platform.engine.batches import Batch
from loop_platform.engine.champion import Anchor
from loop_platform.engine.network import Network


@dataclass(frozen=True)
class Losses:
    """Of one batch: what to differentiate, and the figures for the record."""

    total: Any
    surprise: float
    """Mean negative log-likelihood of the corrections' answer tokens; NaN without any."""
    divergence: float
    """Mean KL to the champion of the replayed answer tokens, in nats; NaN without any."""


def losses(network: Network, batch: Batch, anchor: Anchor, divergence_weight: float) -> Losses:
    import torch

    states = network.answer_states(batch)
    scores = torch.log_softmax(network.logits(states).float(), dim=-1)
    surprise = -scores.gather(1, batch.targets[:, None]).squeeze(1)
    corrected = surprise[~batch.replayed]
    total = surprise.mean()
    divergence = torch.tensor(float("nan"))
    if bool(batch.replayed.any()) and divergence_weight > 0:
        with torch.no_grad():
            champion = torch.log_softmax(network.logits(anchor.states(batch)).float(), dim=-1)
        ours = scores[batch.replayed]
        each = torch.nn.functional.kl_div(ours, champion, reduction="none", log_target=True).sum(1)
        divergence = each.mean()
        total = total + divergence_weight * each.sum() / len(surprise)
    return Losses(total, float(corrected.detach().mean()), float(divergence.detach()))
