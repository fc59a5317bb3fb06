"""The precision that this machine computes quickly in.

Weights are kept in bfloat16 everywhere. To compute in it takes units for it: a processor that has
AVX2 alone did 8 GFLOPS a core in bfloat16 and 67 in float32, and a step of training that takes
seconds took minutes.
"""

from typing import Any


def computing() -> Any:  # noqa: ANN401 - torch is imported no earlier
    """`torch.bfloat16` where GPU or processor has units for it, else `torch.float32`."""
    import torch

    return torch.bfloat16 if has_bfloat16() else torch.float32


def has_bfloat16() -> bool:
    """Whether there is a GPU, or a processor with units for it."""
    import torch

    return torch.cuda.is_available() or processor_has_bfloat16()


def processor_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this processor."""
    import torch

    available = torch.backends.mkldnn.is_available()
    return bool(available and torch.ops.mkldnn._is_mkldnn_bf16_supported())
