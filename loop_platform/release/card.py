"""The model card of a release: what training wrote, or taking in, with what the offline evaluation
showed since.

Made when it is asked for, from record and audit log: the adapter's own folder is never written to
again.
"""

import sqlalchemy as sa

from loop_platform.engine import card
from loop_platform.release import registry
from loop_platform.release.states import State


class NoCardError(LookupError):
    """A release that nothing was trained for."""


def card_of(connection: sa.Connection, release: str) -> str:
    """The card as Markdown.

    Raises:
        UnknownReleaseError: there is no such release.
        NoCardError: it has no training record, as the base model has none.
    """
    found = registry.find(connection, release)
    if found.adapter is None or not {"recipe", "brought"} & found.record.keys():
        raise NoCardError(f"{release} has no training record: there is nothing to put on a card")
    judged = [
        move.evidence
        for move in registry.moves(connection, release)
        if move.from_state is State.REGISTERED and "scores" in move.evidence
    ]
    return card.card(found.record, judged[0] if judged else None)
