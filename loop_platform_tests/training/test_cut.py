"""Which answers a token limit cut."""

import sqlalchemy as sa

from loop_platform.defs.training.cut import cut
from loop_platform.lake import Lake
from loop_platform.settings import Settings
from loop_platform_tests.evaluation.traffic import Traffic


def test_of_the_calls_asked_for_those_that_a_token_limit_cut(
    settings: Settings, database: sa.Engine
) -> None:
    traffic = Traffic(database, Lake(settings.lake))
    calls = [
        traffic.call("base", "champion", "go on", "and", finish_reason=why)
        for why in ("length", "stop", None, "length")
    ]
    traffic.arrive("telemetry/calls", calls)
    asked = {call["call_id"] for call in calls[:3]}

    with database.connect() as connection:
        assert cut(connection, traffic.lake, asked) == {calls[0]["call_id"]}
        assert cut(connection, traffic.lake, set()) == set()
