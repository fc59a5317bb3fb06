"""What came from elsewhere and wants to be an adapter of the loop: the message from the asset to
the program `take_in`.

Importable in both environments.
"""

import msgspec


class Arrival(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A peft adapter, or a whole model, to be taken in. Paths are absolute."""

    brought: str
    """Its folder."""
    sits_on: str | None
    """The adapter of the release that it was trained on; None where that was the base model."""
    base: str
    """Folder of the base model."""
    base_name: str
    """What the base model is called in the adapter's configuration and record."""
    adapters: str
    weights: str
    rank: int
    """The recipe's, as is `alpha`: a later cycle goes on from it."""
    alpha: int
    seed: int
    data_sha256: str
    """Of the files that say what it was trained on."""
    rows: int
    """How many rows they have."""
    note: str
    """Where it came from, in the words of who brought it."""
    licence: str | None = None
    threads: int | None = None


def decode(extras: object) -> Arrival:
    """The arrival in a message.

    Raises:
        msgspec.ValidationError: a field is missing, unknown or of the wrong type.
    """
    return msgspec.convert(extras, Arrival)


def encode(arrival: Arrival) -> dict[str, object]:
    """The message of an arrival: plain JSON values."""
    message: dict[str, object] = msgspec.to_builtins(arrival)
    return message
