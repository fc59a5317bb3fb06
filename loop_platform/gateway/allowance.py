"""How many calls and tokens a minute a key may have, and a tenant with all its keys.

A token bucket for each, with a minute's worth in it, refilled evenly. What a call takes in tokens
is known when it has ended: one that is let in may leave a debt, which the next ones wait for.

Each worker has buckets of its own and answers from them at once. Once a second it tells the
database what was taken here, and takes from its buckets what was taken elsewhere. A fixed share for
each worker would need no database and would be wrong: a caller on one kept-alive connection has one
worker, and would get a share of its limit. The price is that within a second each of several
workers can let in what is left; what was too much is a debt then. While the database is away each
worker keeps the limits by itself.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import rate_usage
from loop_platform.gateway.refusals import RefusedError
from loop_platform.keys import Key
from loop_platform.repeating import Repeating
from loop_platform.settings import GatewaySettings

_INTERVAL_S = 1.0

Clock = Callable[[], float]
Limit = tuple[str, str]
"""Whose, `key` or `tenant`, and of what, `requests` or `tokens`."""


class Bucket:
    """What is left of one limit."""

    __slots__ = (
        "_at",
        "_before",
        "_clock",
        "_elsewhere",
        "_heard",
        "level",
        "limit",
        "subject",
        "taken",
        "told",
        "unit",
        "whose",
    )

    def __init__(self, subject: str, whose: str, unit: str, limit: int, clock: Clock) -> None:
        self.subject = subject
        self.whose = whose
        """It in words."""
        self.unit = unit
        """`requests` or `tokens`."""
        self.limit = limit
        """A minute; also what can be had at once."""
        self.level = float(limit)
        """Below zero where more was taken than was there."""
        self.taken = 0
        """Here, since the start."""
        self.told = 0
        """Of that, what the database knows."""
        self._before: int | None = None
        """What was taken elsewhere before this worker looked first."""
        self._elsewhere = 0
        self._heard = 0
        self._clock = clock
        self._at = clock()

    def refill(self) -> None:
        """Puts in what the time since gave, and takes out what the other workers took."""
        now, elsewhere = self._clock(), self._elsewhere
        gained = (now - self._at) * self.limit / 60
        level = self.level + gained - (elsewhere - self._heard)
        self.level = min(level, float(self.limit))
        self._at, self._heard = now, elsewhere

    def take(self, amount: int) -> None:
        self.level -= amount
        self.taken += amount

    def hear(self, elsewhere: int) -> None:
        """What the other workers ever took, in all. Called by another thread, which alone writes
        what it writes here."""
        if self._before is None:
            self._before = elsewhere
        self._elsewhere = elsewhere - self._before

    def wait_s(self) -> float:
        """Until there is one to take."""
        return (1 - self.level) * 60 / self.limit

    def full_in_s(self) -> float:
        return (self.limit - self.level) * 60 / self.limit


class Allowance:
    """The buckets that a key's calls are taken from."""

    __slots__ = ("_refused", "_requests", "_tokens", "key")

    def __init__(self, key: Key, buckets: list[Bucket], refused: Counter[Limit]) -> None:
        self.key = key
        self._refused = refused
        self._requests = [bucket for bucket in buckets if bucket.unit == "requests"]
        self._tokens = [bucket for bucket in buckets if bucket.unit == "tokens"]

    def admit(self) -> None:
        """Takes a call from the buckets.

        Raises:
            RefusedError: 429 where one of them is empty. Nothing is taken then.
        """
        empty = None
        for bucket in (*self._requests, *self._tokens):
            bucket.refill()
            if bucket.level < 1 and (empty is None or bucket.wait_s() > empty.wait_s()):
                empty = bucket
        if empty is not None:
            self._refused[empty.subject.split()[0], empty.unit] += 1
            raise self._refusal(empty)
        for bucket in self._requests:
            bucket.take(1)

    def spend(self, tokens: int) -> None:
        """Takes the tokens that a call turned out to need."""
        for bucket in self._tokens:
            bucket.take(tokens)

    def headers(self) -> dict[str, str]:
        """What is left, in OpenAI's words: of the scarcest bucket of either kind."""
        said = {}
        for buckets in filter(None, (self._requests, self._tokens)):
            scarce = min(buckets, key=lambda bucket: bucket.level / bucket.limit)
            said[f"x-ratelimit-limit-{scarce.unit}"] = str(scarce.limit)
            said[f"x-ratelimit-remaining-{scarce.unit}"] = str(max(0, int(scarce.level)))
            said[f"x-ratelimit-reset-{scarce.unit}"] = _span(scarce.full_in_s())
        return said

    def _refusal(self, bucket: Bucket) -> RefusedError:
        wait_s = max(1, math.ceil(bucket.wait_s()))
        refusal = RefusedError(
            429,
            f"{bucket.whose} may have {bucket.limit} {bucket.unit} a minute, and has had them:"
            f" come again in {wait_s} s",
            code="rate_limit_exceeded",
            kind=bucket.unit,
            retry_after_s=wait_s,
        )
        refusal.headers.update(self.headers())
        return refusal


class Allowances:
    """Those of this worker's callers."""

    def __init__(
        self, database: sa.Engine, settings: GatewaySettings, clock: Clock = time.monotonic
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._tenants_free = not settings.limits_tenants
        self.refused: Counter[Limit] = Counter()
        """Calls since the start, by the limit that they met."""
        self._by_key: dict[str, Allowance] = {}
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._turns = Repeating("adding up of what was asked for", self.tell, _INTERVAL_S)

    @property
    def alive(self) -> bool:
        return self._turns.alive

    def start(self) -> None:
        self._turns.start()

    def stop(self) -> None:
        self._turns.stop()
        self._turns.attempt()

    def of(self, key: Key) -> Allowance | None:
        """The key's allowance; None where nothing limits it."""
        if self._tenants_free and not key.limited:
            return None
        known = self._by_key.get(key.key_id)
        if known is None or known.key is not key:  # the keys were read again
            known = self._by_key[key.key_id] = self._made(key)
        return known

    def _made(self, key: Key) -> Allowance:
        return Allowance(key, list(self._of(key)), self.refused)

    def tell(self) -> None:
        """Adds to the database what was taken here, and hears what was taken elsewhere."""
        buckets = [(bucket, bucket.taken) for bucket in list(self._buckets.values())]
        if not buckets:
            return
        more: dict[str, dict[str, int]] = {}
        for bucket, taken in buckets:
            if taken > bucket.told:
                row = more.setdefault(bucket.subject, {"requests": 0, "tokens": 0})
                row[bucket.unit] = taken - bucket.told
        with self._database.begin() as connection:
            if more:
                connection.execute(_added(more))
            subjects = {bucket.subject for bucket, _ in buckets}
            found = connection.execute(
                sa.select(rate_usage).where(rate_usage.c.subject.in_(subjects))
            ).mappings()
            totals = {row["subject"]: row for row in found}
        for bucket, taken in buckets:
            bucket.told = taken
            total = totals.get(bucket.subject, {bucket.unit: 0})[bucket.unit]
            bucket.hear(total - taken)

    def _of(self, key: Key) -> Iterator[Bucket]:
        tenants = self._settings.limit_of(key.tenant)
        for subject, whose, unit, limit in (
            (f"key {key.key_id}", "this API key", "requests", key.requests_per_minute),
            (f"key {key.key_id}", "this API key", "tokens", key.tokens_per_minute),
            (f"tenant {key.tenant}", "your tenant", "requests", tenants.requests_per_minute),
            (f"tenant {key.tenant}", "your tenant", "tokens", tenants.tokens_per_minute),
        ):
            if limit is not None:
                bucket = self._buckets.get((subject, unit))
                if bucket is None or bucket.limit != limit:
                    bucket = Bucket(subject, whose, unit, limit, self._clock)
                    self._buckets[subject, unit] = bucket
                yield bucket


def _added(more: dict[str, dict[str, int]]) -> sa.Executable:
    # In one order for all workers, so that none waits for another's row in a circle.
    statement = insert(rate_usage).values(
        [{"subject": subject, **more[subject]} for subject in sorted(more)]
    )
    sums = {name: rate_usage.c[name] + statement.excluded[name] for name in ("requests", "tokens")}
    return statement.on_conflict_do_update(index_elements=["subject"], set_=sums)


def _span(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `7s`, `6m0s`."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
