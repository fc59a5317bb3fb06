"""One leader: the controller whose connection holds a PostgreSQL advisory lock.

The leader writes through that very connection and through no other. One that lost it cannot do
anything any more, whatever it believes: the lock went with the connection.
"""

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from loop_platform.database import database_url
from loop_platform.settings import Settings

# Any number that nothing else in this database locks: the digits of "loop" on a telephone.
_LOCK = 5667


class LeadershipLostError(RuntimeError):
    """The connection that held the lock is gone."""


class Leadership:
    """A dedicated connection, and the lock on it once it was free."""

    def __init__(self, settings: Settings) -> None:
        self._engine = sa.create_engine(
            database_url(settings),
            poolclass=sa.NullPool,
            connect_args={
                "connect_timeout": 5,
                "application_name": "loop release controller",
                # A statement that hangs is a lost connection: a lease must not wait for it.
                "options": "-c statement_timeout=5000",
                "keepalives_idle": 2,
                "keepalives_interval": 1,
                "keepalives_count": 3,
            },
        )
        self._connection: sa.Connection | None = None

    def acquire(self) -> bool:
        """Become the leader if nobody is. False also while the database is away."""
        self.resign()
        try:
            connection = self._engine.connect()
        except sa.exc.OperationalError:
            return False
        try:
            taken = connection.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK))).scalar_one()
            connection.commit()
        except sa.exc.DBAPIError:
            connection.close()
            return False
        if not taken:
            connection.close()
            return False
        self._connection = connection
        return True

    @property
    def held(self) -> bool:
        return self._connection is not None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction of the leader.

        Raises:
            LeadershipLostError: this is not the leader, or the connection broke.
        """
        connection = self._connection
        if connection is None:
            raise LeadershipLostError("this controller is not the leader")
        try:
            with connection.begin():
                yield connection
        except sa.exc.DBAPIError as error:
            # SQLAlchemy would quietly reconnect, without the lock.
            self.resign()
            raise LeadershipLostError(f"the leader's connection broke: {error.orig}") from error

    def resign(self) -> None:
        """Give the lock back, with the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
