"""API keys: who is asking, for which tenant, and what they may do.

A key's text, `loop_<key_id>_<secret>`, is shown once; the database holds its SHA-256.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import sqlalchemy as sa

from loop_platform.database import api_keys
from loop_platform.remembered import Remembered
from loop_platform.repeating import Repeating

Role = Literal["caller", "contributor", "reviewer", "admin"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most: each may do what the ones before it may."""

_LARGEST_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class Key:
    """What a key that was presented stands for."""

    key_id: str
    role: Role
    tenant: str
    name: str
    requests_per_minute: int | None = None
    """At most; None: as many as the tenant may have."""
    tokens_per_minute: int | None = None

    @property
    def limited(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    def may(self, role: Role) -> bool:
        """Whether this key may do what `role` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as a list shows it: never its text."""

    key: Key
    created_at: datetime
    revoked_at: datetime | None
    """To come, while another key is taking its place."""
    in_use: bool


def create_key(
    connection: sa.Connection,
    role: str,
    tenant: str,
    name: str,
    *,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
) -> str:
    """Makes a key and returns its text, which is kept nowhere."""
    if role not in ROLES:
        raise ValueError(f"{role!r} is no role; the roles are {', '.join(ROLES)}")
    for word, value in (("tenant", tenant), ("name", name)):
        if not value.strip() or "\0" in value:
            raise ValueError(f"{value!r} cannot be the {word} of a key; give it some text")
    key_id = secrets.token_hex(6)
    text = f"loop_{key_id}_{secrets.token_hex(20)}"
    connection.execute(
        api_keys.insert().values(
            key_id=key_id,
            key_hash=_digest(text),
            role=role,
            tenant=tenant,
            name=name,
            requests_per_minute=_checked(requests_per_minute),
            tokens_per_minute=_checked(tokens_per_minute),
        )
    )
    return text


def rotate(connection: sa.Connection, key_id: str, grace_s: float = 0.0) -> str | None:
    """Makes a key that stands for the same as this one, and returns its text. The old one works on
    for `grace_s` seconds, in which its holders take the new one. None where no such key is in use.
    """
    now = sa.func.clock_timestamp()
    old = connection.execute(
        api_keys.update()
        .where(api_keys.c.key_id == key_id, _in_use)
        .values(revoked_at=sa.func.least(api_keys.c.revoked_at, now + _seconds(grace_s)))
        .returning(api_keys)
    ).one_or_none()
    if old is None:
        return None
    key = _key(old)
    return create_key(
        connection,
        key.role,
        key.tenant,
        key.name,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
    )


def limit(
    connection: sa.Connection,
    key_id: str,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
) -> bool:
    """Sets what a key may ask for, None without limit; False where no such key is in use."""
    found = connection.execute(
        api_keys.update()
        .where(api_keys.c.key_id == key_id, _in_use)
        .values(
            requests_per_minute=_checked(requests_per_minute),
            tokens_per_minute=_checked(tokens_per_minute),
        )
    )
    return found.rowcount == 1


def revoke(connection: sa.Connection, key_id: str) -> bool:
    """Ends a key; False where there is no such key in use."""
    found = connection.execute(
        api_keys.update()
        .where(api_keys.c.key_id == key_id, _in_use)
        .values(revoked_at=sa.func.clock_timestamp())
    )
    return found.rowcount == 1


def list_keys(connection: sa.Connection) -> list[ListedKey]:
    """Every key, the oldest first, revoked ones too."""
    query = sa.select(api_keys, _in_use.label("in_use")).order_by(api_keys.c.created_at)
    return [
        ListedKey(_key(row), row.created_at, row.revoked_at, row.in_use)
        for row in connection.execute(query)
    ]


_in_use = sa.or_(api_keys.c.revoked_at.is_(None), api_keys.c.revoked_at > sa.func.clock_timestamp())

# Keys are made, limited and revoked, and nothing else of them changes: where these are the same as
# before, so are they.
_FINGERPRINT = sa.select(
    sa.func.count(api_keys.c.key_id),
    sa.func.count().filter(_in_use),
    sa.func.max(api_keys.c.created_at),
    sa.func.sum(
        sa.func.hashtext(
            sa.func.concat_ws(
                " ",
                api_keys.c.key_id,
                sa.func.coalesce(api_keys.c.requests_per_minute, 0),
                sa.func.coalesce(api_keys.c.tokens_per_minute, 0),
            )
        )
    ),
)


Keys = dict[str, tuple[bytes, Key]]
"""Hash and meaning of each, by its id."""


class KeyRing:
    """The keys in use, in memory, read again every `interval_s` seconds.

    While the database is away the last keys known go on working; where they are remembered, those
    of the process before too. A key that was revoked when no process read the keys works then until
    the database is back.
    """

    def __init__(
        self,
        database: sa.Engine,
        interval_s: float = 1.0,
        remembered: Remembered[Keys] | None = None,
    ) -> None:
        self._database = database.execution_options(isolation_level="AUTOCOMMIT")
        self._keys: Keys = {}
        self._known = False
        self._seen: tuple[object, ...] | None = None
        self._remembered = remembered
        self._turns = 0
        self._reading = Repeating("reading of API keys", self.refresh, interval_s)

    @property
    def loaded(self) -> bool:
        """Whether the keys were ever read, or are remembered."""
        return self._known

    @property
    def alive(self) -> bool:
        return self._reading.alive

    def start(self) -> None:
        if not self._reading.attempt():
            self._recall()
        self._reading.start()

    def stop(self) -> None:
        self._reading.stop()

    def find(self, text: str) -> Key | None:
        """The key with this text; None for an unknown or revoked one."""
        prefix, _, rest = text.partition("_")
        found = self._keys.get(rest.partition("_")[0]) if prefix == "loop" else None
        if found is None or not hmac.compare_digest(found[0], _digest(text)):
            return None
        return found[1]

    async def find_new(self, text: str, timeout_s: float = 2.0) -> Key | None:
        """Like `find`, but has the keys read once more before it says that there is none, so that
        a key works from the moment it was made."""
        key = self.find(text)
        if key is None and text.startswith("loop_"):
            turn = self._turns + 2  # a turn that is under way may have read before the key was made
            deadline = time.monotonic() + timeout_s
            while key is None and self._turns < turn and time.monotonic() < deadline:
                self._reading.wake()
                await asyncio.sleep(0.1)
                key = self.find(text)
        return key

    def refresh(self) -> None:
        """Reads the keys, where any was made, limited or revoked since the last time."""
        with self._database.connect() as connection:
            seen = tuple(connection.execute(_FINGERPRINT).one())
            if seen != self._seen:
                self._keys = _read(connection)
                self._seen = seen
        self._known = True
        self._turns += 1
        if self._remembered is not None:
            self._remembered.keep(self._keys)

    def _recall(self) -> None:
        keys = None if self._known or self._remembered is None else self._remembered.recall()
        if keys is not None:
            self._keys, self._known = keys, True


def _read(connection: sa.Connection) -> Keys:
    rows = connection.execute(sa.select(api_keys).where(_in_use))
    return {row.key_id: (bytes(row.key_hash), _key(row)) for row in rows}


def _key(row: "sa.Row[Any]") -> Key:
    return Key(
        row.key_id,
        row.role,
        row.tenant,
        row.name,
        row.requests_per_minute,
        row.tokens_per_minute,
    )


def _checked(limit: int | None) -> int | None:
    if limit is not None and not 1 <= limit <= _LARGEST_LIMIT:
        raise ValueError(f"{limit} is no limit: give a number from 1 up, or none")
    return limit


def _seconds(seconds: float) -> sa.ColumnElement[timedelta]:
    return sa.literal(timedelta(seconds=seconds), sa.Interval)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
