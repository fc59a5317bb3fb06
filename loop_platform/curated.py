"""The corrections of a cycle as curation left them in the lake, outside of the asset graph."""

import sqlalchemy as sa

from loop_platform.database import cycles
from loop_platform.lake import Lake


class NothingCuratedError(LookupError):
    """A cycle that is not there, or that curation has not been to."""


def path(cycle: str) -> str:
    """Where in the lake they are."""
    return f"curation/corrections/{cycle}.parquet"


def newest(connection: sa.Connection, lake: Lake) -> str:
    """The latest cycle that has any.

    Raises:
        NothingCuratedError: there is none.
    """
    query = (
        sa.select(cycles.c.cycle)
        .where(cycles.c.kind == "improvement")
        .order_by(cycles.c.opened_at.desc())
    )
    for cycle in connection.scalars(query):
        if lake.exists(path(cycle)):
            return str(cycle)
    raise NothingCuratedError("no cycle has curated corrections yet: `loop status` says why")
