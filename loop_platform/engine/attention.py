"""Causal attention for training short rows on a CPU, registered with transformers as `loop`.

PyTorch's fused attention is quick forwards and slow backwards there: of 16 rows of 64 tokens, it
took 31 ms a layer and this 7 ms. It is exact, for rows padded on the right and for the rows of a
`Layout`, with grouped keys. Not covered: sliding windows, dropout, soft caps, and layers that look
at other tokens without asking this function.
"""

from typing import Any

from loop_platform.engine.layout import Layout

NAME = "loop"

_NOT_COVERED = ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")


def covers(model: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Whether a model's attention is the plain causal kind, and can be given."""
    plain = all(getattr(model.config, name, None) is None for name in _NOT_COVERED)
    return plain and bool(model._supports_attention_backend)


def register() -> str:
    """Make it known to transformers; returns the name that models select it by."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _no_mask)
    return NAME


def _no_mask(*_: object, **__: object) -> None:
    """The function below is causal by itself, and padding on the right is never looked at."""


def _attend(  # noqa: PLR0917 - transformers' signature
    module: Any,  # noqa: ANN401
    query: Any,  # noqa: ANN401
    key: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
    attention_mask: Any,  # noqa: ANN401
    scaling: float | None = None,
    layout: Layout | None = None,
    **_: object,
) -> tuple[Any, None]:
    """`layout` is what the model was called with: how its one row holds many."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if layout is None:
        return _function().apply(query, key, value, scale), None
    return _by_layout(query[0], key[0], value[0], scale, layout)[None], None


def _by_layout(query: Any, key: Any, value: Any, scale: float, layout: Layout) -> Any:  # noqa: ANN401
    """[tokens, heads, width]: the prefix by itself, then every row after the prefix."""
    import torch

    before = layout.prefix
    rows = [layout.padded(x[before:]) for x in (query, key, value)]
    if not before:
        return layout.flat(_function().apply(*rows, scale))
    shared = [x[None, :before] for x in (key, value)]
    first = _function().apply(query[None, :before], *shared, scale)
    seen = [
        torch.cat([prefix.expand(len(own), -1, -1, -1), own], dim=1)
        for prefix, own in zip(shared, rows[1:], strict=True)
    ]
    return torch.cat([first[0], layout.flat(_function().apply(rows[0], *seen, scale))])


def _function() -> Any:  # noqa: ANN401
    """The autograd function; torch is imported no earlier."""
    global _made
    if _made is None:
        _made = _make()
    return _made


_made: Any = None


def _make() -> Any:  # noqa: ANN401
    import torch

    class Attention(torch.autograd.Function):  # type: ignore[misc] # torch is Any here
        """Queries [rows, tokens, heads, width], keys and values with fewer heads, more tokens."""

        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, scale: float) -> Any:  # noqa: ANN401
            tokens, (seen, groups) = query.shape[1], key.shape[1:3]
            q, k, v = (_by_group(x, groups) for x in (query, key, value))
            future = torch.ones(tokens, seen, dtype=torch.bool).triu(seen - tokens + 1)
            scores = torch.bmm(q, k.transpose(1, 2)).view(len(q), -1, tokens, seen)
            scores = scores.float().mul_(scale).masked_fill_(future, float("-inf"))
            shares = torch.softmax(scores, -1).to(query.dtype).view(len(q), -1, seen)
            ctx.save_for_backward(q, k, v, shares)
            ctx.scale, ctx.shape = scale, query.shape
            return _by_token(torch.bmm(shares, v), groups, tokens)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ANN401
            q, k, v, shares = ctx.saved_tensors
            rows, tokens = ctx.shape[:2]
            groups, seen = len(q) // rows, k.shape[1]
            g = _by_group(gradient, groups)
            of_value = torch.bmm(shares.transpose(1, 2), g)
            of_scores = torch.bmm(g, v.transpose(1, 2))
            of_scores.sub_((of_scores * shares).sum(-1, keepdim=True)).mul_(shares).mul_(ctx.scale)
            of_query = _by_token(torch.bmm(of_scores, k), groups, tokens)
            of_key = _by_token(torch.bmm(of_scores.transpose(1, 2), q), groups, seen)
            return of_query, of_key, _by_token(of_value, groups, seen), None

    return Attention


def _by_group(x: Any, groups: int) -> Any:  # noqa: ANN401
    """[rows, tokens, heads, width] as [rows x groups, heads of a group x tokens, width]."""
    split = x.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4)
    return split.reshape(len(x) * groups, -1, x.shape[-1])


def _by_token(x: Any, groups: int, tokens: int) -> Any:  # noqa: ANN401
    """The opposite of `_by_group`."""
    split = x.view(len(x) // groups, groups, -1, tokens, x.shape[-1])
    return split.permute(0, 3, 1, 2, 4).flatten(2, 3)
