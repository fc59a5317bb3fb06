"""Which state of a run is kept: the best on the focus among those that hold retention.

A few states on the way, and always the last, are measured on rows held apart
(loop_platform/engine/probe.py). Retention is held where a state is at most the recipe's limit from
the champion, and gives of earlier cycles' corrections hardly fewer word by word than the champion
did. Of those that hold it, more corrections word by word are better, then more of the earlier ones,
then a later state: its learning rate had come down further, and less of what it forgot was noise of
the last steps. Where none holds it, the one that forgot least is kept, then the nearest to the
limit.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

from loop_platform.engine.lanes import Lanes
from loop_platform.engine.network import Network
from loop_platform.engine.probe import Probe, Probed
from loop_platform.engine.room import Room
from loop_platform.engine.team import Team

_MOST = 6
_LEAST = 2
"""Times that a run is measured after its start."""
_TOKENS = 0.13
"""Share of a run's tokens that may be looked at in all. On a CPU one takes 0.36 of the time of one
that is learnt from, so that this costs less than a twentieth of the run."""


_FORGOTTEN = 0.05
"""Share of the earlier corrections, of those that the champion gave word by word, that a state may
lose: one of the two dozen that are held apart."""


class Selection:
    """The states of a run that are measured, and the best of them."""

    def __init__(
        self, probe: Probe, limit: float, *, steps: int, tokens: int, team: Team | None = None
    ) -> None:
        """`limit`: nats a token from the champion. `tokens`: that the run learns from. `team`: the
        processes that train together; all go by what the first one finds."""
        self._probe = probe
        self._limit = limit
        self._team = team or Team()
        self._due = _spread(steps, _times(probe, tokens)) if probe else set()
        self._state: list[Any] = []
        self.probed: list[Probed] = []
        """In the order of the steps, the start first."""
        self.kept: Probed | None = None
        self.seconds = 0.0
        """That the longest measurement took."""

    def begin(self, network: Network, room: Room, side_by_side: Lanes) -> None:
        """Measure the champion, which the network still is."""
        if self._probe:
            room.run(
                lambda at_once: self._probe.remember(network, at_once, side_by_side),
                "remembering the champion on rows held apart",
                least=self._probe.longest,
            )
            self.probed.append(self._measure(0, network, room, side_by_side))

    def due(self, step: int) -> bool:
        """Whether the state after so many steps is to be seen."""
        return step in self._due

    def see(
        self, step: int, network: Network, weights: Sequence[Any], room: Room, side_by_side: Lanes
    ) -> None:
        """Measure the state after so many steps, and consider it; nothing where no corrections are
        held apart.

        Raises:
            ArithmeticError: what is found is no number.
        """
        if self._probe:
            self.consider(self._measure(step, network, room, side_by_side), weights)

    def consider(self, found: Probed, weights: Sequence[Any]) -> None:
        """Hold the weights as they are now, where what was found of them is the best so far.

        Raises:
            ArithmeticError: what was found is no number.
        """
        if not math.isfinite(found.surprise + (found.divergence or 0.0)):
            raise ArithmeticError("the loss on rows held apart is no number")
        self.probed.append(found)
        if self.kept is None or self._rank(found) > self._rank(self.kept):
            self.kept = found
            self._state = [weight.detach().cpu().clone() for weight in weights]

    def bring_back(self, weights: Sequence[Any]) -> None:
        """Put the best state into the weights."""
        import torch

        with torch.no_grad():
            for weight, kept in zip(weights, self._state, strict=self.kept is not None):
                weight.copy_(kept)

    @property
    def reason(self) -> str:
        """Why the state that is kept is, in words."""
        if self.kept is None:
            return "the last good state: no corrections were held apart to choose by"
        seen = [found for found in self.probed if found.step]
        holding = sum(self._holds(found) for found in seen)
        state = f"the state after {self.kept.step} steps"
        limit = f"{self._limit:g} nats a token"
        if not holding and self._forgotten(self.kept) > _FORGOTTEN:
            return (
                f"{state}: each of the {len(seen)} that were measured forgot too many earlier"
                f" corrections, and it the fewest, {self._forgotten(self.kept):.0%};"
                f" {self.kept.divergence or 0.0:.4f} nats a token from the champion"
            )
        if not holding:
            return (
                f"{state}: none of the {len(seen)} that were measured is within {limit} of the"
                f" champion, and it is the nearest, with {self.kept.divergence:.4f}"
            )
        focus = (
            f"{self.kept.exact:.0%} of {len(self._probe)} corrections held apart word by word,"
            f" {self.kept.surprise:.4f} nats a token"
        )
        if self.kept.divergence is None:
            return (
                f"{state}: the best on focus of {len(seen)} that were measured ({focus}); no"
                " replayed answers were held apart, so nobody looked at retention"
            )
        return (
            f"{state}: the best on focus ({focus}) of the {holding} that hold retention, of"
            f" {len(seen)} that were measured; {self.kept.divergence:.4f} nats a token from the"
            f" champion, with a limit of {self._limit:g}"
        )

    def _measure(self, step: int, network: Network, room: Room, side_by_side: Lanes) -> Probed:
        began = time.monotonic()
        measured = room.run(
            lambda at_once: self._probe.measure(network, step, at_once, side_by_side),
            f"measuring after step {step}",
            least=self._probe.longest,
        )
        found: Probed
        found, took = self._team.told((measured, time.monotonic() - began))
        self.seconds = max(self.seconds, took)
        return found

    def _holds(self, found: Probed) -> bool:
        near = found.divergence is None or found.divergence <= self._limit
        return near and self._forgotten(found) <= _FORGOTTEN

    def _forgotten(self, found: Probed) -> float:
        """Share of earlier cycles' corrections that the champion gave and this state does not."""
        start = next((probed for probed in self.probed if not probed.step), None)
        if start is None or start.earlier is None or found.earlier is None:
            return 0.0
        return start.earlier - found.earlier

    def _rank(self, found: Probed) -> tuple[bool, float, float, int]:
        """The higher, the better."""
        if self._holds(found):
            return True, found.exact, found.earlier or 0.0, found.step
        forgot = max(0.0, self._forgotten(found) - _FORGOTTEN)
        return False, -forgot, -(found.divergence or 0.0), found.step


def _times(probe: Probe, tokens: int) -> int:
    """How often there is time for, after the start."""
    return max(_LEAST, min(_MOST, int(_TOKENS * tokens / probe.tokens) - 1))


def _spread(steps: int, times: int) -> set[int]:
    return {math.ceil(steps * time / times) for time in range(1, times + 1)}
