"""Which rows of a cycle the trainer holds apart, to choose by them the state of the run that is
kept (loop_platform/engine/selection.py).

They come out of what would be trained on, never out of what is tested. Near-duplicates and turns of
one conversation are held apart together, as between training and test. Where likeness chains
through nearly all rows, some that are like those held apart are trained on all the same: that
flatters every state of the run alike, and costs no row.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from loop_platform.defs.curation.conversations import conversation
from loop_platform.defs.curation.screen import matrix
from loop_platform.defs.curation.split import Rows, Trained, split

_SHARE = 0.06
_MOST = 24
_FEWEST = 5
"""Corrections by which states can be told apart; a cycle that would have fewer holds none back."""
_REPLAY_SHARE = 0.08
_MOST_REPLAY = 12
_MOST_REHEARSED = 24

_NOTHING = Trained(np.zeros((0, 0), dtype=np.float32), ())


def corrections(corrected: pl.DataFrame, similarity: float) -> frozenset[str]:
    """The decisions whose rows, of those that would be trained on, are held apart.

    Args:
        corrected: `decision_id`, `messages` (JSON), `prompt` and `embedding` of each.
        similarity: of embeddings, from which on rows are near-duplicates.
    """
    count = min(_MOST, round(_SHARE * corrected.height))
    if count < _FEWEST:
        return frozenset()
    rows = Rows(
        ids=corrected["decision_id"].to_list(),
        conversations=[conversation(messages) for messages in corrected["messages"]],
        embeddings=matrix(corrected),
        questions=corrected["prompt"].to_list(),
    )
    share = count / corrected.height
    return split(rows, share=share, similarity=similarity, trained=_NOTHING).heldout


def replay_rows(trained: int) -> int:
    """How many replayed answers are held apart beside so many that are trained on."""
    return min(_MOST_REPLAY, round(_REPLAY_SHARE * trained))


def rehearsed_rows(drawn: int) -> int:
    """How many of so many earlier corrections are held apart."""
    return min(_MOST_REHEARSED, round(_SHARE * drawn))


def marked(rows: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Lines of replay or rehearsal, `count` of them, drawn by what they say, marked as held
    apart."""
    lines = list(rows)
    drawn = sorted(range(len(lines)), key=lambda at: _draw(lines[at]))[:count]
    return [line | {"apart": True} if at in drawn else line for at, line in enumerate(lines)]


def _draw(line: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(line, sort_keys=True).encode()).digest()
