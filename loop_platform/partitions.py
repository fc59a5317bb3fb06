"""The two ways in which the loop's data is partitioned."""

from datetime import UTC, datetime

import dagster as dg

from loop_platform.settings import settings

# Hourly for what arrives by the clock. The start lies near: Dagster slows beyond some 25,000
# partitions, and an hour a partition makes 8,760 a year.
hourly = dg.HourlyPartitionsDefinition(start_date=settings().first_hour, end_offset=1)

daily = dg.DailyPartitionsDefinition(start_date=hourly.start.strftime("%Y-%m-%d"), end_offset=1)

# Dynamic for what is named when it is born: one turn of the loop.
cycles = dg.DynamicPartitionsDefinition(name="cycles")


def current_hour() -> str:
    """The partition key of the hour that is running now, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d-%H:00")
