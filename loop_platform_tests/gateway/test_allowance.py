"""Limits of calls and tokens a minute: by key, by tenant, over all workers together."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loop_platform.gateway.allowance import Allowance, Allowances
from loop_platform.gateway.refusals import RefusedError
from loop_platform.keys import Key, limit
from loop_platform.settings import GatewaySettings, RateLimit, Settings
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def allowances(database: sa.Engine, clock: Clock, **settings: object) -> Allowances:
    return Allowances(database, GatewaySettings.model_validate(settings), clock)


def of(found: Allowances, key: Key) -> Allowance:
    allowance = found.of(key)
    assert allowance is not None
    return allowance


def admitted(allowance: Allowance, most: int = 1000) -> int:
    """How many calls come in, one after the other."""
    for number in range(most):
        try:
            allowance.admit()
        except RefusedError:
            return number
    return most


def test_who_has_no_limit_is_asked_nothing(database: sa.Engine, clock: Clock):
    assert allowances(database, clock).of(Key("k", "caller", "acme", "ada")) is None
    other = allowances(database, clock, limit_by_tenant={"acme": RateLimit(tokens_per_minute=1)})
    assert of(other, Key("k", "caller", "other", "ada")).headers() == {}


def test_a_minutes_calls_can_come_at_once_and_then_as_the_minute_goes(
    database: sa.Engine, clock: Clock
):
    allowance = of(allowances(database, clock), Key("k", "caller", "acme", "ada", 6))
    assert admitted(allowance) == 6
    with pytest.raises(RefusedError) as refused:
        allowance.admit()
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.retry_after_s == 10
    assert refused.value.headers == {
        "x-ratelimit-limit-requests": "6",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }
    clock.now += 9.9
    assert admitted(allowance) == 0
    clock.now += 0.1
    assert admitted(allowance) == 1
    clock.now += 3600
    assert admitted(allowance) == 6  # what is not used is not saved


def test_tokens_are_taken_when_they_are_known_and_may_leave_a_debt(
    database: sa.Engine, clock: Clock
):
    allowance = of(allowances(database, clock), Key("k", "caller", "acme", "ada", None, 600))
    allowance.admit()
    allowance.spend(1200)  # ten a second: two minutes' worth
    assert allowance.headers()["x-ratelimit-remaining-tokens"] == "0"
    clock.now += 60
    with pytest.raises(RefusedError) as refused:
        allowance.admit()
    assert refused.value.error()["type"] == "tokens"
    clock.now += refused.value.retry_after_s or 0
    assert admitted(allowance, 1) == 1


def test_a_tenants_keys_share_its_limit_and_each_has_its_own(database: sa.Engine, clock: Clock):
    found = allowances(database, clock, tenant_limit=RateLimit(requests_per_minute=5))
    ada = of(found, Key("k1", "caller", "acme", "ada", 2))
    eve = of(found, Key("k2", "caller", "acme", "eve"))
    other = of(found, Key("k3", "caller", "other", "kim"))
    assert [admitted(one) for one in (ada, eve, other)] == [2, 3, 5]
    with pytest.raises(RefusedError, match="your tenant"):
        eve.admit()


def test_a_changed_limit_holds_for_the_next_call(database: sa.Engine, clock: Clock):
    found = allowances(database, clock)
    key = Key("k", "caller", "acme", "ada", 2)
    assert admitted(of(found, key)) == 2
    assert (
        admitted(of(found, Key("k", "caller", "acme", "ada", 2))) == 0
    )  # read again, and the same
    assert admitted(of(found, Key("k", "caller", "acme", "ada", 3))) == 3
    assert found.of(Key("k", "caller", "acme", "ada")) is None


def test_what_one_worker_lets_in_the_others_know(database: sa.Engine, clock: Clock):
    key = Key("k", "caller", "acme", "ada", 10, 1000)
    workers = [allowances(database, clock) for _ in range(3)]
    first, second, third = (of(worker, key) for worker in workers)
    for worker in workers:
        worker.tell()
    assert admitted(first, 6) == 6
    first.spend(100)
    for worker in workers:
        worker.tell()
    assert admitted(second) == 4
    assert second.headers()["x-ratelimit-remaining-tokens"] == "900"
    for worker in (*workers, *workers):
        worker.tell()  # says nothing twice
    assert admitted(third) == 0
    clock.now += 60
    assert admitted(third) == 10


def test_a_worker_that_starts_later_is_not_told_of_what_was_long_ago(
    database: sa.Engine, clock: Clock
):
    key = Key("k", "caller", "acme", "ada", 10)
    before = allowances(database, clock)
    assert admitted(of(before, key)) == 10
    before.tell()
    later = allowances(database, clock)
    allowance = of(later, key)
    later.tell()
    assert admitted(allowance) == 10


def test_while_the_database_is_away_each_worker_keeps_the_limits_and_tells_later(
    database: sa.Engine, clock: Clock
):
    key = Key("k", "caller", "acme", "ada", 10)
    away = sa.create_engine("postgresql+psycopg2://nobody@/none?host=/nowhere")
    worker = allowances(away, clock)
    assert admitted(of(worker, key)) == 10
    with pytest.raises(sa.exc.OperationalError):
        worker.tell()
    other = allowances(database, clock)
    allowance = of(other, key)
    other.tell()
    worker._database = database
    worker.tell()
    other.tell()
    assert admitted(allowance) == 0


@pytest.fixture
def limited(settings: Settings, database: sa.Engine, champion: EnginePeer) -> Iterator[Loop]:
    """A gateway whose tenant `acme` may have 3 calls and 1000 tokens a minute."""
    most = RateLimit(requests_per_minute=3, tokens_per_minute=1000)
    gateway = settings.gateway.model_copy(update={"limit_by_tenant": {"acme": most}})
    loop = Loop(settings.model_copy(update={"gateway": gateway}), database)
    loop.key()
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        yield loop


def test_a_caller_sees_what_is_left_and_is_told_when_to_come_again(
    limited: Loop, champion: EnginePeer
):
    first = limited.chat()
    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-tokens"] == "991"  # 7 asked, 2 answered
    streamed, _ = limited.stream()
    assert streamed.headers["x-ratelimit-remaining-requests"] == "1"
    failed = limited.chat("fail")
    assert failed.status_code == 500
    assert failed.headers["x-ratelimit-remaining-requests"] == "0"
    asked = len(champion.bodies)
    refused = limited.chat()
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(champion.bodies) == asked
    assert len(limited.calls()) == 3
    limited.key(tenant="other")
    response = limited.chat()
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("x-ratelimit")]


def test_a_limit_of_a_key_works_while_the_gateway_runs(loop: Loop):
    key_id = loop.key("caller").split("_")[1]
    assert loop.chat().status_code == 200
    with loop.database.begin() as connection:
        limit(connection, key_id, None, 5)
    eventually(lambda: loop.chat().status_code == 429)
    with loop.database.begin() as connection:
        limit(connection, key_id, None, None)
    eventually(lambda: loop.chat().status_code == 200)
