"""The adapter of the loop's own shape that comes nearest to what somebody else changed.

In each linear layer the change of the weights, whatever made it, is cut to its largest singular
values: no matrix of that rank is nearer (Eckart and Young 1936). They are found by random
projection (Halko, Martinsson and Tropp 2011, arXiv:0909.4061), which is exact where the change has
no higher rank. A holds orthonormal rows and B all of the size, so that a row of no size yet can
still be trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loop_platform.engine import adapter
from loop_platform.engine.adapter import CONFIG, AdapterRefusedError

_OURS, _THEIRS, _BELOW = "default", "brought", "below"


@dataclass
class Kept:
    """How much of a change an adapter holds, in squared weights."""

    changed: float = 0.0
    missed: float = 0.0

    @property
    def share(self) -> float:
        return 1 - self.missed / self.changed


def is_adapter(folder: Path) -> bool:
    """Or a whole model."""
    return (folder / CONFIG).is_file()


def of_adapter(ours: Any, brought: Path, sits_on: Path | None) -> Kept:  # noqa: ANN401
    """Make our adapter say what another says, on top of the one that it was trained on.

    Raises:
        AdapterRefusedError: it is none that can be served, or is of another model.
    """
    _load(ours, brought, _THEIRS)
    if sits_on is not None:
        _load(ours, sits_on, _BELOW)
    elif _same_shape(ours):
        return _copy(ours)
    kept = Kept()
    for _, layer in _layers(ours):
        names = [name for name in (_THEIRS, _BELOW) if name in layer.lora_A]
        change = sum(layer.get_delta_weight(name).float() for name in names)
        _set(layer, change if names else None, kept)
    for name in (_THEIRS, _BELOW):
        if name in ours.peft_config:
            ours.delete_adapter(name)
    return _checked(kept, brought)


def of_model(ours: Any, brought: Path) -> Kept:  # noqa: ANN401
    """Make our adapter say what a model says that was trained from the base, as far as it can.

    Raises:
        AdapterRefusedError: it has other weights than the base.
    """
    import torch
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(brought, dtype=torch.bfloat16)
    weights = dict(theirs.named_parameters())
    layers = {f"{_bare(name)}.weight": layer for name, layer in _layers(ours)}
    kept = Kept()
    with torch.no_grad():
        for name, was in _base_weights(ours):
            now = weights.pop(name, None)
            if now is None or now.shape != was.shape:
                raise AdapterRefusedError(f"{brought} is no model on this base: {name} differs")
            change = now.to(was.device).float() - was.float()
            if name in layers:
                _set(layers[name], change, kept)
            else:
                size = float(change.square().sum())
                kept.changed += size
                kept.missed += size
    if weights:
        raise AdapterRefusedError(f"{brought} is no model on this base: it has {min(weights)}")
    return _checked(kept, brought)


def _load(ours: Any, folder: Path, name: str) -> None:  # noqa: ANN401
    """Beside our adapter, in float32: what is computed from it is rounded once, at the end."""
    adapter.check(folder)
    adapter.check_servable(folder)
    try:
        found = ours.load_adapter(str(folder), name)
    except (ValueError, RuntimeError) as error:
        raise AdapterRefusedError(f"{folder} does not fit the base model: {error}") from error
    stray = sorted({*found.unexpected_keys, *found.missing_keys})
    if stray:
        raise AdapterRefusedError(f"{folder} is an adapter of another model: see {stray[0]}")
    targets = {
        module_name
        for module_name, module in ours.named_modules()
        if name in getattr(module, "lora_A", {}) or name in getattr(module, "lora_embedding_A", {})
    }
    beyond = sorted(targets - {module_name for module_name, _ in _layers(ours)})
    if beyond:
        raise AdapterRefusedError(
            f"{folder} changes {_bare(beyond[0])}, which adapters of the loop leave alone"
        )


def _layers(ours: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for name, module in ours.named_modules():
        if _OURS in getattr(module, "lora_A", {}):
            yield name, module


def _base_weights(ours: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The base model's own parameters by the names that they have in it."""
    for name, weight in ours.get_base_model().named_parameters():
        if ".lora_" not in name:
            yield name.replace(".base_layer.", "."), weight


def _bare(name: str) -> str:
    return name.removeprefix("base_model.model.")


def _same_shape(ours: Any) -> bool:  # noqa: ANN401
    """Whether the other has our rank and scale in the very layers that ours has."""
    return all(
        _THEIRS in layer.lora_A
        and layer.scaling[_THEIRS] == layer.scaling[_OURS]
        and layer.lora_A[_THEIRS].weight.shape == layer.lora_A[_OURS].weight.shape
        for _, layer in _layers(ours)
    )


def _copy(ours: Any) -> Kept:  # noqa: ANN401
    import torch

    kept = Kept()
    with torch.no_grad():
        for _, layer in _layers(ours):
            for part in (layer.lora_A, layer.lora_B):
                part[_OURS].weight.copy_(part[_THEIRS].weight)
            kept.changed += float(layer.lora_B[_OURS].weight.float().square().sum())
    ours.delete_adapter(_THEIRS)
    return _checked(kept, Path("it"))


def _set(layer: Any, change: Any, kept: Kept) -> None:  # noqa: ANN401
    """Give a layer the nearest change that it can hold: `change` is out × in, or None."""
    import torch

    with torch.no_grad():
        down, up = layer.lora_A[_OURS].weight, layer.lora_B[_OURS].weight
        rank, scale = down.shape[0], layer.scaling[_OURS]
        up.zero_()
        if change is None:
            return
        found = min(rank, *change.shape)
        more = min(found + 8, *change.shape)
        u, s, v = torch.svd_lowrank(change, q=more, niter=4)
        rows = torch.cat([v[:, :found].T, torch.randn(rank - found, v.shape[0], device=v.device)])
        down.copy_(torch.linalg.qr(rows.T).Q.T if rank <= v.shape[0] else rows)
        # Q may turn a row round: what B has to say follows from what A listens to.
        listens = down[:found].float()
        up[:, :found] = ((u[:, :found] * s[:found]) @ (v[:, :found].T @ listens.T)) / scale
        held = scale * up.float() @ down.float()
        kept.changed += float(change.square().sum())
        kept.missed += float((change - held).square().sum())


def _checked(kept: Kept, brought: Path) -> Kept:
    if kept.changed == 0:
        raise AdapterRefusedError(f"{brought} changes nothing: it says what its base says")
    return kept
