"""Where the rows of a batch lie in one sequence: what they all begin with, then row after row.

No place is left empty, so a layer that looks at each token by itself runs once, over the tokens
that there are. A layer that looks at other tokens is told the layout.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Layout:
    """One sequence that holds rows."""

    prefix: int
    """Tokens that every row begins with; they are there once."""
    lengths: tuple[int, ...]
    """Of each row, without the prefix."""

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def positions(self) -> Any:  # noqa: ANN401
        """[tokens]: how many tokens come before each in its row."""
        import torch

        rows = [torch.arange(self.prefix, self.prefix + length) for length in self.lengths]
        return torch.cat([torch.arange(self.prefix), *rows])

    @cached_property
    def places(self) -> Any:  # noqa: ANN401
        """[tokens after the prefix]: of each in the rows padded on the right to the longest."""
        import torch

        starts = range(0, len(self.lengths) * self.longest, self.longest)
        return torch.cat(
            [torch.arange(s, s + n) for s, n in zip(starts, self.lengths, strict=True)]
        )

    def padded(self, tokens: Any) -> Any:  # noqa: ANN401
        """[tokens after the prefix, …] as [rows, longest, …], with zeros on the right."""
        rows = tokens.new_zeros(len(self.lengths) * self.longest, *tokens.shape[1:])
        return rows.index_copy_(0, self.places, tokens).unflatten(0, (len(self.lengths), -1))

    def flat(self, rows: Any) -> Any:  # noqa: ANN401
        """The opposite of `padded`."""
        return rows.flatten(0, 1).index_select(0, self.places)
