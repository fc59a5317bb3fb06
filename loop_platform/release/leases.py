"""The lease that canary and shadow live on.

The controller pushes its end a second ahead, four times a second, while it is the leader, alive and
content. Whatever stops it from doing so sends all traffic to the champion within that second,
without anybody having to act.
"""

from datetime import timedelta

import sqlalchemy as sa

from loop_platform.database import routes

_TRIAL_IS_ROUTED = sa.or_(routes.c.canary.is_not(None), routes.c.shadow.is_not(None))


def renew(connection: sa.Connection, seconds: float) -> None:
    """Push the end of the lease ahead, by the database's clock, where something lives on it."""
    until = sa.func.clock_timestamp() + timedelta(seconds=seconds)
    connection.execute(sa.update(routes).where(_TRIAL_IS_ROUTED).values(lease_until=until))


def revoke(connection: sa.Connection) -> None:
    """End the lease now."""
    connection.execute(
        sa.update(routes).where(routes.c.lease_until.is_not(None)).values(lease_until=None)
    )


def left(connection: sa.Connection) -> float:
    """Seconds that the lease has left, by the database's clock; 0 when it ran out."""
    remaining = sa.extract("epoch", routes.c.lease_until - sa.func.clock_timestamp())
    seconds = connection.execute(sa.select(remaining)).scalar_one_or_none()
    return max(0.0, float(seconds)) if seconds is not None else 0.0
