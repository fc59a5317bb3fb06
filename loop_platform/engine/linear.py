"""The linear layer with its adapter as one step: `x W' + s (x A') B'`, with nothing kept twice.

peft computes the same in five steps with three large intermediates; this took 18 % off a training
step on a CPU. The adapter's weights stay peft's own.
"""

from functools import partial
from typing import Any

from loop_platform.engine.frozen import Frozen, frozen
from loop_platform.engine.team import Divided


def fuse(adapted: Any, *, divided: bool = False) -> list[Frozen]:  # noqa: ANN401 - peft is untyped
    """Give every adapted linear layer the fused step; returns their frozen weights.

    `divided`: they will be, between processes, and come together for each computation.
    """
    from peft.tuners.lora import Linear

    layers = [module for module in adapted.modules() if isinstance(module, Linear)]
    plain = [layer for layer in layers if not any(layer.use_dora.values())]
    weights: list[Frozen] = (
        [Divided(layer.base_layer) for layer in plain]
        if divided
        else frozen([layer.base_layer.weight for layer in plain])
    )
    for layer, weight in zip(plain, weights, strict=True):
        layer.forward = partial(_forward, layer, weight)
    return weights


def _forward(layer: Any, weight: Frozen, x: Any, *_: object, **__: object) -> Any:  # noqa: ANN401
    base = layer.base_layer
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    y = _function().apply(x, weight, down, up, layer.scaling["default"])
    return y if base.bias is None else y + base.bias


def _function() -> Any:  # noqa: ANN401
    """The autograd function; torch is imported no earlier."""
    global _made
    if _made is None:
        _made = _make()
    return _made


_made: Any = None


def _make() -> Any:  # noqa: ANN401
    import torch

    class Adapted(torch.autograd.Function):  # type: ignore[misc] # torch is Any here
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Frozen, down: Any, up: Any, scale: float) -> Any:  # noqa: ANN401, PLR0917
            flat = x.reshape(-1, x.shape[-1])
            inner = flat @ down.t()
            y = weight.forwards(flat).addmm_(inner, up.t(), alpha=scale)
            ctx.save_for_backward(flat, down, up, inner)
            ctx.weight, ctx.scale, ctx.shape = weight, scale, x.shape
            return y.view(*x.shape[:-1], -1)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ANN401
            flat, down, up, inner = ctx.saved_tensors
            g = gradient.reshape(-1, gradient.shape[-1])
            of_up = (g.t() @ inner).mul_(ctx.scale)
            of_inner = (g @ up).mul_(ctx.scale)
            of_down = of_inner.t() @ flat if ctx.needs_input_grad[2] else None
            if not ctx.needs_input_grad[0]:
                return None, None, of_down, of_up, None
            of_x = ctx.weight.backwards(g).addmm_(of_inner, down)
            return of_x.view(ctx.shape), None, of_down, of_up, None

    return Adapted
