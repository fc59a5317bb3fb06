"""The first champion: the base model, before anyone has corrected anything."""

import re
from pathlib import Path

import sqlalchemy as sa

from loop_platform.engine.base_model import weights_hash
from loop_platform.release import machine, registry
from loop_platform.release.registry import Release
from loop_platform.settings import Settings

ACTOR = "controller"


def base_folder(settings: Settings) -> Path:
    """Where the base model lies in the form that engines read (engine/base_model.py makes it)."""
    name = settings.models.base.removeprefix("packaged:").strip("/")
    return settings.data_dir / "models" / re.sub(r"[^A-Za-z0-9._-]+", "--", name)


def base(connection: sa.Connection) -> Release | None:
    """The release of the bare base model, on which every adapter sits."""
    bare = (release for release in registry.all_releases(connection) if release.adapter is None)
    return next(bare, None)


def ensure_champion(connection: sa.Connection, settings: Settings) -> Release:
    """See that there is a base release, and a champion in a loop that never had one."""
    found = base(connection)
    if found is not None:
        return found
    folder = base_folder(settings)
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
