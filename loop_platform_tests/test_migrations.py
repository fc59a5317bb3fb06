import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from loop_platform import migrations
from loop_platform.database import metadata


def test_the_migrations_make_the_tables_that_the_code_knows(database: sa.Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(database: sa.Engine) -> None:
    migrations.upgrade(database)
    with database.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0002"
