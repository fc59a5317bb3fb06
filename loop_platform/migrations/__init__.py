"""The database's schema, version by version."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def upgrade(engine: sa.Engine) -> None:
    """Bring the database to the newest schema; one process at a time."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7105001)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
