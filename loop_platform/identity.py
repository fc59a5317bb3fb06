"""Identifiers: UUIDv7, so that sorting is by time and the hour of a call is in its id.

A call's id also carries a message authentication code over its time, its random part and its
tenant. A gateway worker can therefore tell in microseconds, with no store and no shared memory,
whether a `call_id` in a feedback was issued by this installation to this tenant: feedback works on
a call the instant it was answered, on any worker, across restarts.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

_RANDOM_BITS = 30
_CODE_BITS = 32


def new_id(milliseconds: int | None = None) -> str:
    """A UUIDv7 of now (RFC 9562, section 5.7), as its 36 characters."""
    ms = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    return _format(ms, secrets.randbits(12), secrets.randbits(62))


def first_id(milliseconds: int) -> str:
    """The least UUIDv7 of a moment: every id minted from then on is greater."""
    return _format(milliseconds, 0, 0)


def hour_of(identifier: str) -> str:
    """The hourly partition key, `2026-11-23-14:00` in UTC, of a UUIDv7.

    Raises:
        ValueError: `identifier` is no UUIDv7.
    """
    return hour_at(milliseconds_of(identifier))


def hour_at(milliseconds: int) -> str:
    """The same key, of a time since the epoch."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d-%H:00")


def milliseconds_of(identifier: str) -> int:
    """The time in a UUIDv7, in milliseconds since the epoch."""
    value = uuid.UUID(identifier)
    if value.version != 7:
        raise ValueError(f"{identifier!r} is a UUID of version {value.version}, not 7")
    return value.int >> 80


class CallIdentity:
    """Mints call ids that prove their origin, and checks them.

    The code has 32 bits: forging an id takes some four thousand million authenticated attempts.
    Two ids of one tenant collide only in the same millisecond with equal 42 random bits.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError(f"the identity secret has {len(secret)} bytes; it needs at least 16")
        self._secret = secret

    def mint(self, tenant: str) -> str:
        ms = time.time_ns() // 1_000_000
        return self._mint(tenant, ms, secrets.randbits(12 + _RANDOM_BITS))

    def mint_of(self, tenant: str, ms: int, content: bytes) -> str:
        """The id of a call that was recorded elsewhere: the same content gets the same id."""
        digest = hashlib.blake2s(content, digest_size=8).digest()
        return self._mint(tenant, ms, int.from_bytes(digest, "big") >> (52 - _RANDOM_BITS))

    def _mint(self, tenant: str, ms: int, random: int) -> str:
        return _format(ms, random >> _RANDOM_BITS, self._low(ms, random, tenant))

    def issued(self, call_id: str, tenant: str) -> bool:
        """Whether `call_id` was minted here for `tenant`."""
        try:
            value = uuid.UUID(call_id)
        except ValueError:
            return False
        if value.version != 7:
            return False
        ms = value.int >> 80
        random_a = (value.int >> 64) & 0xFFF
        low = value.int & ((1 << 62) - 1)
        random = (random_a << _RANDOM_BITS) | (low >> _CODE_BITS)
        return hmac.compare_digest(
            low.to_bytes(8, "big"), self._low(ms, random, tenant).to_bytes(8, "big")
        )

    def _low(self, ms: int, random: int, tenant: str) -> int:
        message = ms.to_bytes(6, "big") + random.to_bytes(6, "big") + tenant.encode()
        code = hashlib.blake2s(message, digest_size=_CODE_BITS // 8, key=self._secret).digest()
        tail = random & ((1 << _RANDOM_BITS) - 1)
        return (tail << _CODE_BITS) | int.from_bytes(code, "big")


def identity_secret(path: Path) -> bytes:
    """The installation's secret at `path`, made on first use, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):  # another worker was first: its secret counts
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()


def _format(ms: int, random_a: int, random_b: int) -> str:
    value = (ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    text = f"{value:032x}"  # a tenth of what uuid.UUID takes for the same
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
