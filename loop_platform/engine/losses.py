"""What training lowers: surprise at the corrections, and divergence from the champion elsewhere.

On a replayed answer the target is how the champion weighed every word there (Hinton, Vinyals and
Dean 2015, arXiv:1503.02531; Li and Hoiem 2016, arXiv:1606.09282), not the words that it said:
learning those sharpens the model, which is a way of moving it. With a weight of 0 they are learnt
like corrections.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loop_platform.engine.batches import Batch
from loop_platform.engine.champion import Anchor
from loop_platform.engine.frozen import Frozen
from loop_platform.engine.network import Network

_AT_ONCE = 256
"""Answer tokens whose scores over the vocabulary are held at once."""


@dataclass(frozen=True)
class Loss:
    """Of one batch: what to differentiate, and the figures for the record (nats a token)."""

    total: Any
    surprise: float | None
    """At the corrections' answers."""
    divergence: float | None
    """From the champion, on its own answers."""
    preference: float | None = None
    """Of pairs: loop_platform/engine/preference.py."""
    thumbs: float | None = None
    """Of liked and disliked answers: loop_platform/engine/thumbs.py."""


def loss(network: Network, batch: Batch, anchor: Anchor, divergence_weight: float) -> Loss:
    states = network.answer_states(batch)
    anchored = batch.replayed and divergence_weight > 0
    champion = anchor.states(batch) if anchored else None
    mean = _function().apply(states, network.vocabulary, batch.targets, champion)
    figure = float(mean.detach())
    if anchored:
        return Loss(divergence_weight * mean, None, figure)
    return Loss(mean, None if batch.replayed else figure, None)


def surprises(states: Any, vocabulary: Frozen, targets: Any) -> Any:  # noqa: ANN401
    """[tokens]: the surprise at each target, in float32 (nats)."""
    return _functions()[1].apply(states, vocabulary, targets)


def judged(states: Any, vocabulary: Frozen, targets: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """[tokens] each: the surprise at each target (nats), and whether it is the likeliest word.

    For looking, not for learning: no gradient comes of it.
    """
    import torch

    surprise, likeliest = [], []
    for part in _parts(len(states)):
        scores, _, whole = _weighed(vocabulary.forwards(states[part]))
        at = targets[part, None]
        surprise.append((whole - scores.gather(1, at))[:, 0])
        likeliest.append(scores.argmax(-1) == targets[part])
    return torch.cat(surprise), torch.cat(likeliest)


def divergences(states: Any, vocabulary: Frozen, champion: Any) -> Any:  # noqa: ANN401
    """[tokens]: how far each is from the champion's hidden states (nats), without a gradient."""
    import torch

    found = []
    for part in _parts(len(states)):
        ours, _, whole = _weighed(vocabulary.forwards(states[part]))
        theirs, aims, all_theirs = _weighed(vocabulary.forwards(champion[part]))
        found.append((aims * (theirs - ours)).sum(-1) + (whole - all_theirs)[:, 0])
    return torch.cat(found)


def _function() -> Any:  # noqa: ANN401
    return _functions()[0]


def _functions() -> tuple[Any, Any]:
    """The autograd functions; torch is imported no earlier."""
    global _made
    if _made is None:
        _made = _make()
    return _made


_made: tuple[Any, Any] | None = None


def _parts(count: int) -> Iterator[slice]:
    """Of about one size: a product costs what the vocabulary costs to read, however few the
    tokens."""
    at_once = math.ceil(count / math.ceil(count / _AT_ONCE))
    for start in range(0, count, at_once):
        yield slice(start, start + at_once)


def _make() -> tuple[Any, Any]:
    import torch

    class OverVocabulary(torch.autograd.Function):  # type: ignore[misc] # torch is Any here
        """Mean surprise at the targets, or mean divergence from the champion.

        The gradient is taken on the way forward, a part of the tokens at a time: probabilities
        over the whole vocabulary are never kept.
        """

        @staticmethod
        def forward(
            ctx: Any,  # noqa: ANN401
            states: Any,  # noqa: ANN401
            vocabulary: Frozen,
            targets: Any,  # noqa: ANN401
            champion: Any,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            gradient = torch.empty_like(states)
            total = 0.0
            for part in _parts(len(states)):
                ours, shares, whole = _weighed(vocabulary.forwards(states[part]))
                if champion is None:
                    at = targets[part, None]
                    total += float((whole - ours.gather(1, at)).sum())
                    of_scores = shares.scatter_add_(1, at, shares.new_full(at.shape, -1.0))
                else:
                    theirs, aims, all_theirs = _weighed(vocabulary.forwards(champion[part]))
                    total += float(aims.flatten() @ theirs.sub_(ours).flatten())
                    total += float((whole - all_theirs).sum())
                    of_scores = shares.sub_(aims)
                gradient[part] = vocabulary.backwards(of_scores.to(states.dtype))
            ctx.save_for_backward(gradient.div_(len(states)))
            return states.new_tensor(total / len(states), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ANN401
            (of_states,) = ctx.saved_tensors
            return of_states * gradient.to(of_states.dtype), None, None, None

    class Surprises(torch.autograd.Function):  # type: ignore[misc] # torch is Any here
        """Surprise at each target, its gradient taken on the way forward too, where one is asked
        for."""

        @staticmethod
        def forward(ctx: Any, states: Any, vocabulary: Frozen, targets: Any) -> Any:  # noqa: ANN401
            learning = ctx.needs_input_grad[0]
            gradient = torch.empty_like(states) if learning else None
            found = torch.empty(len(states), dtype=torch.float32, device=states.device)
            for part in _parts(len(states)):
                scores, shares, whole = _weighed(vocabulary.forwards(states[part]))
                at = targets[part, None]
                found[part] = (whole - scores.gather(1, at))[:, 0]
                if gradient is not None:
                    of_scores = shares.scatter_add_(1, at, shares.new_full(at.shape, -1.0))
                    gradient[part] = vocabulary.backwards(of_scores.to(states.dtype))
            ctx.save_for_backward(gradient)
            return found

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ANN401
            (of_states,) = ctx.saved_tensors
            return of_states * gradient[:, None].to(of_states.dtype), None, None

    return OverVocabulary, Surprises


def _weighed(scores: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """Scores in float32, their softmax, and the logarithm of what that divides by.

    The last from the likeliest word, whose share is never nothing: one pass over the scores where
    their logarithms would take an exponential more.
    """
    import torch

    scores = scores.float()
    shares = torch.softmax(scores, -1)
    return scores, shares, scores.amax(-1, True) - shares.amax(-1, True).log()
