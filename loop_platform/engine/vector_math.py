"""The first use of each of the processor's vector functions, before threads can race for it.

The oneMKL that PyTorch's wheels carry picks its kernel on a function's first call. Two threads that
make that call together can get a coarse one (https://github.com/pytorch/pytorch/issues/188792): the
positions' cosines of the very first row were then off by 1.5e-4, in a quarter of all processes
here, and the adapter of the same job was not the same to the last bit.
"""

_FUNCTIONS = ("cos", "sin", "exp", "log", "sqrt", "tanh", "erf")


def settle() -> None:
    """Call every function that a network's layers use once, on one thread."""
    import torch

    one = torch.ones(1, device="cpu")
    for name in _FUNCTIONS:
        getattr(torch, name)(one)
