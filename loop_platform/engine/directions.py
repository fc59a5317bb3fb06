"""Where a new adapter listens: directions of each layer's input in which corrected conversations
speak and replayed ones are quiet.

An adapter adds `B A x`. Its A is set once, to the inputs' directions with the most energy on the
corrections for the energy on the replay (a generalised eigenproblem of two covariances), and stays;
training moves B alone. What the champion does elsewhere then hardly reaches the adapter at all.
After CorDA (Yang et al. 2024, arXiv:2406.05223) and LoRA-FA (Zhang et al. 2023, arXiv:2308.03303).
Not covered: inputs wider than 4,096, whose layers keep an ordinary, trained A.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loop_platform.engine import batches, precision
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.network import Network
from loop_platform.engine.rows import Row

_ROWS = 96
"""Of each kind: some 4,000 tokens, from which the covariances come."""
ROWS_AT_ONCE = 16
_FLOOR = 0.02
"""Energy, as a share of the mean, that every direction of the replay is taken to have at least."""
_SILENT = 1e-3
"""Energy on the corrections, as a share of the ordinary, below which a direction is not used."""
_WIDEST = 4096
_ITERATIONS = 6
_SPARE = 8


def aim(
    network: Network,
    rows: Sequence[Row],
    seed: int,
    side_by_side: Lanes,
    at_once: int = ROWS_AT_ONCE,
) -> int:
    """Set and freeze A wherever it can be; returns in how many layers it was.

    `at_once` rows are looked at together; fewer take less memory.
    """
    corrected, replayed = _energies(network, rows, seed, side_by_side, at_once)
    problems = [
        _Problem(readers, energy, quiet, seed + at)
        for at, ((readers, energy), (_, quiet)) in enumerate(zip(corrected, replayed, strict=True))
    ]
    solved = side_by_side.run(_Problem.directions, problems)
    aimed = 0
    for problem, directions in zip(problems, solved, strict=True):
        for layer in problem.readers:
            _set(layer.lora_A["default"].weight, directions)
            aimed += 1
    return aimed


def _set(weight: Any, directions: Any) -> None:  # noqa: ANN401
    import torch

    with torch.no_grad():
        weight.copy_(directions)
    weight.requires_grad_(False)


def _energies(
    network: Network, rows: Sequence[Row], seed: int, side_by_side: Lanes, at_once: int
) -> list[list[tuple[list[Any], Any]]]:
    """Of corrections and of replay, for each distinct input: the layers that read it, and its
    covariance over tokens.
    """
    watched = [_Inputs(network.layers), _Inputs(network.layers)]

    def watch(replay: bool) -> None:
        import torch

        with torch.no_grad():
            for chosen in _some(rows, seed, at_once, replay=replay):
                # Of the corrections, what they all begin with is no sign of any of them.
                batch = batches.collate(rows, chosen)
                watched[replay].look(network, batch, shared=replay)

    with watched[0], watched[1], _rounded_products():
        side_by_side.run(watch, [False, True])
    return [inputs.found() for inputs in watched]


def _some(rows: Sequence[Row], seed: int, at_once: int, *, replay: bool) -> Iterator[list[int]]:
    """Rows of a kind, drawn by chance, in batches of about equal length."""
    kind = [index for index, row in enumerate(rows) if row.replay == replay]
    chosen = random.Random(seed).sample(kind, min(_ROWS, len(kind)))
    chosen.sort(key=lambda index: len(rows[index].ids))
    for start in range(0, len(chosen), at_once):
        yield chosen[start : start + at_once]


@contextmanager
def _rounded_products() -> Iterator[None]:
    """Products of float32 on bfloat16 factors, summed in float32, where there are units for it:
    what is watched was bfloat16 anyway, a covariance stays one, and a CPU takes a third of the
    time.
    """
    import torch

    if not precision.has_bfloat16():
        yield
        return
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


class _Inputs:
    """Watches what enters the adapted layers on the thread that looks."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = [layer for layer in layers if layer.in_features <= _WIDEST]
        self._readers: list[list[Any]] = []
        self._sums: list[Any] = []
        self._place: dict[int, int] = {}
        self._last: Any = None
        self._wanted: Any = None
        self._tokens = 0
        self._thread: int | None = None
        """The one that looks at this moment."""
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        self._handles = [layer.register_forward_pre_hook(self._see()) for layer in self._layers]

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._last = None

    def look(self, network: Network, batch: batches.Batch, *, shared: bool) -> None:
        """One pass over whole rows; padding does not count, nor, unless `shared`, the prefix."""
        import torch

        ids, lengths, before = batch.whole()
        places = torch.arange(ids.shape[1])[None]
        wanted = (places < lengths[:, None]) & (places >= (0 if shared else before))
        self._wanted = wanted.flatten()
        self._tokens += int(wanted.sum())
        # On one lane the other watcher looks from this very thread: it must not be heard here.
        self._thread = threading.get_ident()
        try:
            network.hidden(ids)
        finally:
            self._thread = None

    def found(self) -> list[tuple[list[Any], Any]]:
        return [
            (readers, total / self._tokens)
            for readers, total in zip(self._readers, self._sums, strict=True)
        ]

    def _see(self) -> Callable[[Any, tuple[Any, ...]], None]:
        def see(layer: Any, arguments: tuple[Any, ...]) -> None:  # noqa: ANN401
            if threading.get_ident() != self._thread:
                return
            # Layers that read the very same tensor (query, key, value) follow one another.
            if id(layer) not in self._place:
                self._enter(layer, arguments[0])
            place = self._place[id(layer)]
            if self._readers[place][0] is layer:
                self._add(place, arguments[0])
            self._last = arguments[0]

        return see

    def _enter(self, layer: Any, x: Any) -> None:  # noqa: ANN401
        if x is self._last:
            self._readers[-1].append(layer)
        else:
            self._readers.append([layer])
            self._sums.append(0)
        self._place[id(layer)] = len(self._readers) - 1

    def _add(self, place: int, x: Any) -> None:  # noqa: ANN401
        import torch

        tokens = x.flatten(0, 1)[self._wanted].float()
        tokens = torch.nn.functional.normalize(tokens, dim=-1)
        self._sums[place] = self._sums[place] + tokens.t() @ tokens


@dataclass(frozen=True)
class _Problem:
    """One input, and the layers that read it."""

    readers: Sequence[Any]
    corrected: Any
    """[width, width]: covariance over tokens of corrections."""
    replayed: Any
    seed: int

    def directions(self) -> Any:  # noqa: ANN401
        """[rank, width]: the leading generalised eigenvectors, each as loud as an ordinary row of
        A.
        """
        import torch

        rank = self.readers[0].lora_A["default"].weight.shape[0]
        corrected, replayed = self.corrected.double(), self.replayed.double()
        width = len(corrected)
        mean = replayed.trace() / width
        lower = torch.linalg.cholesky(
            replayed + _FLOOR * mean * torch.eye(width, dtype=torch.double)
        )

        def whitened(vectors: Any) -> Any:  # noqa: ANN401
            out = torch.linalg.solve_triangular(lower.t(), vectors, upper=True)
            return torch.linalg.solve_triangular(lower, corrected @ out, upper=False)

        basis = torch.linalg.qr(self._start(width, rank + _SPARE)).Q
        for _ in range(_ITERATIONS):
            basis = torch.linalg.qr(whitened(basis)).Q
        leading = torch.linalg.eigh(basis.t() @ whitened(basis)).eigenvectors[:, -rank:]
        rows = torch.linalg.solve_triangular(lower.t(), basis @ leading, upper=True).t()
        loudness = ((rows @ corrected) * rows).sum(1, keepdim=True)
        ordinary = corrected.trace() / width / 3
        # Few corrections have fewer directions than the rank: the rest stays silent, for good.
        heard = loudness > _SILENT * ordinary
        return torch.where(heard, rows * (ordinary / loudness.clamp_min(1e-300)).sqrt(), 0.0)

    def _start(self, width: int, count: int) -> Any:  # noqa: ANN401
        """Directions by chance, the same ones whichever problem is solved first."""
        import torch

        device = self.corrected.device
        chance = torch.Generator(device).manual_seed(self.seed)
        return torch.randn(width, count, dtype=torch.double, device=device, generator=chance)
