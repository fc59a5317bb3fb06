"""The first champion: the base model, before anyone has corrected anything."""

import sqlalchemy as sa

from loop_platform.engine.base_model import weights_hash
from loop_platform.release import machine, registry
from loop_platform.release.registry import Release
from loop_platform.settings import Settings

ACTOR = "controller"


def base(connection: sa.Connection) -> Release | None:
    """The release of the bare base model, on which every adapter sits."""
    bare = (release for release in registry.all_releases(connection) if release.adapter is None)
    return next(bare, None)


def ensure_champion(connection: sa.Connection, settings: Settings) -> Release:
    """See that there is a base release, and a champion in a loop that never had one."""
    found = base(connection)
    if found is not None:
        return found
    folder = settings.base_model_folder
    name = registry.register_base(
        connection,
        weights=weights_hash(folder),
        weights_path=folder,
        record={"model": settings.models.base},
        actor=ACTOR,
    )
    machine.install_first(
        connection, name, actor=ACTOR, reason="the base model, before any correction"
    )
    return registry.find(connection, name)
