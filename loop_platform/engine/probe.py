"""How a state of a run does on rows that it never learns from: some corrections for the focus, some
of the champion's own answers and of earlier cycles' corrections for retention.

All are looked at word by word, given the words before: one pass over each row, nothing is
generated. A row of the test set is never among them: they come out of what would be trained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loop_platform.engine import batches
from loop_platform.engine.champion import Anchor, remember
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.losses import divergences, judged
from loop_platform.engine.network import Network
from loop_platform.engine.rows import Row


@dataclass(frozen=True)
class Probed:
    """What was found after so many steps."""

    step: int
    exact: float
    """Share of the corrections of which every word was the likeliest, given those before."""
    surprise: float
    """At the corrections' answers, nats a token."""
    divergence: float | None
    """From the champion on its own answers, nats a token; None where none are held apart."""
    earlier: float | None = None
    """The same share of corrections that earlier cycles trained on; None where none are held
    apart."""


class Probe:
    """Rows that are held apart."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._anchor = Anchor({})

    def __len__(self) -> int:
        """How many corrections: without any, nothing is measured."""
        return len(self.rows) - self.replayed - self.rehearsed

    @property
    def replayed(self) -> int:
        return sum(row.replay for row in self.rows)

    @property
    def rehearsed(self) -> int:
        return sum(row.earlier for row in self.rows)

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)

    @property
    def longest(self) -> int:
        return max(len(row.ids) for row in self.rows)

    def remember(self, network: Network, at_once: int, side_by_side: Lanes) -> None:
        """Look at the champion, which the network still is."""
        if self.replayed:
            self._anchor = remember(network, self.rows, at_once, side_by_side)

    def measure(self, network: Network, step: int, at_once: int, side_by_side: Lanes) -> Probed:
        """Of the network as it is now; in batches of at most `at_once` padded tokens."""
        parts = list(self._parts(at_once))
        found = side_by_side.run(lambda part: self._look(network, part), parts)
        corrected = [each for each in found if isinstance(each, _Corrected)]
        replayed = [each for each in found if isinstance(each, _Replayed)]
        new = [each for each in corrected if not each.earlier]
        earlier = sum(each.exact for each in corrected if each.earlier)
        tokens = sum(each.tokens for each in replayed)
        return Probed(
            step=step,
            exact=sum(each.exact for each in new) / len(self),
            surprise=sum(each.surprise for each in new) / sum(each.tokens for each in new),
            divergence=sum(each.divergence for each in replayed) / tokens if tokens else None,
            earlier=earlier / self.rehearsed if self.rehearsed else None,
        )

    def _parts(self, at_once: int) -> Iterator[list[int]]:
        for kind_of in ((False, False), (False, True), (True, False)):
            kind = [at for at, row in enumerate(self.rows) if (row.replay, row.earlier) == kind_of]
            yield from batches.parts(self.rows, kind, at_once)

    def _look(self, network: Network, part: Sequence[int]) -> "_Corrected | _Replayed":
        import torch

        with torch.no_grad():
            batch = batches.collate(self.rows, part)
            states = network.answer_states(batch)
            if batch.replayed:
                champion = self._anchor.states(batch)
                found = divergences(states, network.vocabulary, champion)
                return _Replayed(float(found.sum()), len(batch.targets))
            surprise, likeliest = judged(states, network.vocabulary, batch.targets)
            by_row = likeliest.split([self.rows[at].answer_tokens for at in part])
            exact = sum(bool(row.all()) for row in by_row)
            earlier = self.rows[part[0]].earlier
            return _Corrected(exact, float(surprise.sum()), len(batch.targets), earlier)


@dataclass(frozen=True)
class _Corrected:
    """Sums over a batch of corrections."""

    exact: int
    surprise: float
    tokens: int
    earlier: bool


@dataclass(frozen=True)
class _Replayed:
    """Sums over a batch of replayed answers."""

    divergence: float
    tokens: int
