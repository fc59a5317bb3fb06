"""A weight that is not trained, and the two products that training makes with it.

oneDNN reorders a weight for its units before every product. One that stays can be reordered once:
on a processor with units for bfloat16 a product of 40 tokens then took 0.2 ms instead of 0.4, one
of 512 tokens 0.8 instead of 1.1. That costs two more copies of the weight, one for each direction.
"""

from collections.abc import Sequence
from typing import Any

from loop_platform.engine import precision

_SHARE = 1 / 8
"""Of the machine's memory, what the copies may take. Not of what is free at the moment: the same
job on the same machine gives the same adapter, to the last bit."""
_TOKENS = 512
"""For which the order is chosen; it serves any number."""


class Frozen:
    """A weight [out, in] as it is."""

    def __init__(self, weight: Any) -> None:  # noqa: ANN401
        self.weight = weight

    def forwards(self, x: Any) -> Any:  # noqa: ANN401
        """[tokens, in] to [tokens, out]."""
        return x @ self.weight.t()

    def backwards(self, gradient: Any) -> Any:  # noqa: ANN401
        """[tokens, out] to [tokens, in]."""
        return gradient @ self.weight


class Packed(Frozen):
    """The same, reordered once for each direction."""

    def __init__(self, weight: Any) -> None:  # noqa: ANN401
        super().__init__(weight)
        self._there, self._back = _reordered(weight), _reordered(weight.t().contiguous())

    def forwards(self, x: Any) -> Any:  # noqa: ANN401
        return _product(x, self._there)

    def backwards(self, gradient: Any) -> Any:  # noqa: ANN401
        return _product(gradient, self._back)


def frozen(weights: Sequence[Any]) -> list[Frozen]:
    """Packed where oneDNN computes with them and two copies of all take at most an eighth of the
    machine's memory; else all as they are.
    """
    kind = Packed if _packable(weights) else Frozen
    return [kind(weight.detach()) for weight in weights]


def _packable(weights: Sequence[Any]) -> bool:
    import psutil
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    kinds = {torch.float32}
    if precision.processor_has_bfloat16():
        kinds.add(torch.bfloat16)
    if any(weight.device.type != "cpu" or weight.dtype not in kinds for weight in weights):
        return False
    copies = 2 * sum(weight.nbytes for weight in weights)
    return bool(copies <= _SHARE * psutil.virtual_memory().total)


def _reordered(weight: Any) -> Any:  # noqa: ANN401
    import torch

    return torch.ops.mkldnn._reorder_linear_weight(weight, _TOKENS)


def _product(x: Any, weight: Any) -> Any:  # noqa: ANN401
    import torch

    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
