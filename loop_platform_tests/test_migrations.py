from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from loop_platform import migrations
from loop_platform.database import metadata
from loop_platform.release import trials
from loop_platform.release.states import State
from loop_platform.settings import FrontSettings


def test_the_migrations_make_the_tables_that_the_code_knows(database: sa.Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(database: sa.Engine) -> None:
    migrations.upgrade(database)
    with database.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0006"


def test_a_trial_from_before_keeps_its_plan_as_its_budget(database: sa.Engine) -> None:
    _downgrade(database, "0001")
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO releases (release, weights_path, state, record)"
                " VALUES ('r-1', '/w', 'shadow', '{}')"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO trials (release, stage, champion, planned)"
                " VALUES ('r-1', 'shadow', 'base-1', 80)"
            )
        )

    migrations.upgrade(database)

    with database.connect() as connection:
        trial = trials.find(connection, "r-1", State.SHADOW)
    assert trial is not None
    assert (trial.planned, trial.budget, trial.fronts) == (80, 80, FrontSettings())


def _downgrade(database: sa.Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
