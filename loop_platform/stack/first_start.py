"""What the database needs before the loop runs: its schema, Dagster's schema, a first admin key."""

import hashlib
import os
from pathlib import Path

import sqlalchemy as sa

from loop_platform import keys, migrations
from loop_platform.database import api_keys, database_url
from loop_platform.settings import Settings
from loop_platform.stack.errors import StackError


def prepare_database(settings: Settings) -> None:
    """Bring the schema up to date.

    Raises:
        StackError: the database does not answer or refuses.
    """
    database = sa.create_engine(database_url(settings), connect_args={"connect_timeout": 5})
    try:
        migrations.upgrade(database)
        with database.begin() as connection:
            if settings.database_url is not None:
                connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS dagster"))
            _admin_key(connection, admin_key_file(settings))
    except sa.exc.DBAPIError as error:
        where = database.url.render_as_string(hide_password=True)
        why = " ".join(str(error.orig).split())
        raise StackError(f"the database {where} cannot be used: {why}") from error
    finally:
        database.dispose()


def admin_key_file(settings: Settings) -> Path:
    return settings.data_dir / "admin.key"


def _admin_key(connection: sa.Connection, file: Path) -> None:
    """A key for the console and the API, made on the first start and kept in a file of its own."""
    if file.exists() and _known(connection, file.read_text().strip()):
        return
    text = keys.create_key(connection, role="admin", tenant="default", name="admin")
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text + "\n")


def _known(connection: sa.Connection, text: str) -> bool:
    key_hash = hashlib.sha256(text.encode()).digest()
    statement = sa.select(api_keys.c.key_id).where(
        api_keys.c.key_hash == key_hash, api_keys.c.revoked_at.is_(None)
    )
    return connection.execute(statement).one_or_none() is not None
