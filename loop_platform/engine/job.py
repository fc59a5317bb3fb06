"""What a training run is asked to do: the message from the asset to the program `train`.

Importable in both environments.
"""

import msgspec


class Recipe(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How an adapter is trained: `loop_platform.settings.Recipe`, as the engine reads it."""

    rank: int
    alpha: int
    learning_rate: float
    epochs: float
    max_steps: int | None
    tokens_per_step: int
    replay_rows: int
    divergence_weight: float
    seed: int
    preference_weight: float = 0.0
    preference_beta: float = 0.1
    thumbs_rows: int = 0
    thumbs_weight: float = 0.0
    thumbs_beta: float = 0.1
    retention_limit: float = 0.1
    rehearsal_rows: int = 0


class Mode(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A failure mode that a run aims at, for record and card: nothing is computed from it."""

    name: str
    cluster: str
    severity: float | None
    rows: int
    """Corrections of it that are trained on, the few that are held apart on the way included."""
    held_out: int
    """Corrections of it that are kept to see whether it was mended."""


class Job(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One adapter to be trained. Paths are absolute."""

    base: str
    """Folder of the base model."""
    base_name: str
    """What the base model is called in the adapter's configuration and record."""
    parent: str | None
    """The champion's adapter, which training goes on from; None starts a new one."""
    corrections: str
    replay: str
    preferences: str | None = None
    """Chosen and rejected answers; None where the recipe gives them no weight."""
    thumbs: str | None = None
    """Liked and disliked answers; None where there are none, or the recipe gives them no weight."""
    rehearsal: str | None = None
    """Corrections that earlier cycles trained on; None where there are none, or the recipe asks for
    none."""
    adapters: str
    """The folder that the adapter's folder, named by its hash, is put in."""
    weights: str
    """The same for the merged weights."""
    recipe: Recipe
    threads: int | None = None
    max_tokens: int = 2048
    """A row of more tokens is refused: the engine could not serve it."""
    cost_per_hour: float = 0.0
    budget_s: float | None = None
    """Seconds that the steps may take; then training ends with what it has."""
    licence: str | None = None
    """Of the base model, for the card."""
    modes: tuple[Mode, ...] = ()
    """What matters most first."""


def decode(extras: object) -> Job:
    """The job in a message.

    Raises:
        msgspec.ValidationError: a field is missing, unknown or of the wrong type.
    """
    return msgspec.convert(extras, Job)


def encode(job: Job) -> dict[str, object]:
    """The message of a job: plain JSON values."""
    message: dict[str, object] = msgspec.to_builtins(job)
    return message
