"""Whether a call's time to live is over. Apart, since the gateway asks it and loads no tables."""

import time

from loop_platform.identity import milliseconds_of
from loop_platform.settings import RetentionSettings

DAY_MS = 86_400_000


def is_past(settings: RetentionSettings, tenant: str, call_id: str) -> bool:
    """Whether a call is older than its tenant's time to live."""
    days = settings.days_of(tenant)
    return days is not None and milliseconds_of(call_id) < time.time() * 1000 - days * DAY_MS
