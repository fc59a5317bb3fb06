"""Processes that train one adapter together, started by torchrun: one a GPU, or on a CPU as many as
one likes.

The frozen weights of the decoder's layers are divided between them (fully sharded data parallelism,
Zhao et al. 2023, arXiv:2304.11277, by PyTorch's `fully_shard`), and so are the rows of every batch.
The adapter is small: each has all of it, adds up the gradients of all, and makes the same step.
What is done without gradients, to look at the champion and at rows held apart, each does for
itself, and all go by what the first finds. Not covered: memory that runs out ends the run, and each
reads the whole base model before it gives its part away.
"""

import os
from collections.abc import Sequence
from typing import Any

from loop_platform.engine.frozen import Frozen


class Team:
    """This process among those that train together; by itself unless torchrun started it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that is told what to do, reports and saves."""
        return self.rank == 0

    def join(self) -> None:
        """Meet the others."""
        import torch
        from torch import distributed

        if self.alone:
            return
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    def leave(self) -> None:
        from torch import distributed

        if not self.alone and distributed.is_initialized():
            distributed.destroy_process_group()

    def told(self, said: Any) -> Any:  # noqa: ANN401 - what the leader says, whatever it is
        """What the leader says, on every process."""
        from torch import distributed

        if self.alone:
            return said
        box = [said]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def mine(self, parts: Sequence[Sequence[int]]) -> list[tuple[Sequence[int], bool]]:
        """Of each part this process's rows, and whether they count.

        All have as many, for they compute in step: where rows do not go round, one is computed
        once more and does not count.
        """
        dealt = [part[self.rank :: self.size] for part in parts]
        return [(own or part[:1], bool(own)) for own, part in zip(dealt, parts, strict=True)]

    def add_up(self, tensors: Sequence[Any]) -> None:
        """Put into each the sum over the processes, the same to the last bit on all."""
        import torch
        from torch import distributed

        if self.alone:
            return
        whole = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(whole)
        parts = whole.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def divide(self, adapted: Any) -> None:  # noqa: ANN401 - peft is untyped
        """Leave of the frozen weights of each layer this process's share."""
        import torch
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        if self.alone:
            return
        decoder = adapted.get_base_model().get_decoder()
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        mesh = init_device_mesh(kind, (self.size,))
        trained = {weight for weight in adapted.parameters() if weight.requires_grad}
        for layer in decoder.layers:
            fully_shard(layer, mesh=mesh, ignored_params=trained)
        # The one around them holds nothing: embeddings and vocabulary are used outside of it.
        fully_shard(decoder, mesh=mesh, ignored_params=_undivided(decoder) | trained)


class Divided(Frozen):
    """A frozen weight of a layer that is divided: whole while the layer computes, and only then."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401
        self._module = module

    @property
    def weight(self) -> Any:  # noqa: ANN401
        return self._module.weight.detach()

    @weight.setter
    def weight(self, _: Any) -> None:  # noqa: ANN401
        raise AttributeError("the module has the weight")


def _undivided(decoder: Any) -> set[Any]:  # noqa: ANN401
    within = {id(weight) for layer in decoder.layers for weight in layer.parameters()}
    return {weight for weight in decoder.parameters() if id(weight) not in within}
