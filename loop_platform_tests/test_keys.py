"""API keys: made once, stored as a hash, revoked within a second, trusted through an outage."""

import asyncio
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loop_platform.database import api_keys
from loop_platform.keys import ROLES, Key, KeyRing, create_key, limit, list_keys, revoke, rotate


@pytest.fixture
def ring(database: sa.Engine) -> Iterator[KeyRing]:
    ring = KeyRing(database, interval_s=0.05)
    ring.start()
    yield ring
    ring.stop()


def made(database: sa.Engine, role: str = "caller", tenant: str = "acme", name: str = "ada") -> str:
    with database.begin() as connection:
        return create_key(connection, role, tenant, name)


def found(ring: KeyRing, text: str) -> Key | None:
    return asyncio.run(ring.find_new(text))


def test_a_key_is_found_from_the_moment_it_was_made(database: sa.Engine, ring: KeyRing):
    text = made(database, "reviewer", "acme", "ada")
    key = found(ring, text)
    assert key is not None
    assert (key.role, key.tenant, key.name) == ("reviewer", "acme", "ada")
    assert text.startswith(f"loop_{key.key_id}_")
    assert ring.find(text) == key


def test_the_text_of_a_key_is_kept_nowhere(database: sa.Engine):
    text = made(database)
    with database.connect() as connection:
        row = connection.execute(sa.select(api_keys)).one()
    assert text.rpartition("_")[2] not in str(row)
    assert len(row.key_hash) == 32


def test_what_is_no_key_is_not_found(database: sa.Engine, ring: KeyRing):
    text = made(database)
    assert found(ring, text) is not None
    for other in ("", "loop", "loop_", "loop__", "sk-123", text[:-1], text + "0", text.upper()):
        assert found(ring, other) is None


def test_keys_are_compared_in_constant_time(
    database: sa.Engine, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
):
    """What decides is the comparison that takes as long wherever two differ, of whole digests."""
    text = made(database)
    assert found(ring, text) is not None
    compared = []

    def never(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return False

    monkeypatch.setattr("hmac.compare_digest", never)
    assert ring.find(text) is None
    assert compared == [(32, 32)]


def test_a_revoked_key_stops_working(database: sa.Engine, ring: KeyRing):
    text = made(database)
    key = found(ring, text)
    assert key is not None
    with database.begin() as connection:
        assert revoke(connection, key.key_id)
        assert not revoke(connection, key.key_id)
        assert not revoke(connection, "nobody's")
    deadline = time.monotonic() + 2
    while ring.find(text) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_keys_go_on_working_while_the_database_is_away(database: sa.Engine):
    text = made(database)
    ring = KeyRing(database)
    ring.refresh()
    unreachable = KeyRing(sa.create_engine("postgresql+psycopg2://nobody@/none?host=/nowhere"))
    unreachable.start()
    assert not unreachable.loaded
    assert unreachable.alive
    unreachable.stop()
    assert ring.loaded
    assert ring.find(text) is not None


def test_a_role_may_what_the_roles_before_it_may():
    for position, role in enumerate(ROLES):
        key = Key("id", role, "acme", "ada")
        assert [key.may(other) for other in ROLES] == [
            index <= position for index in range(len(ROLES))
        ]


def test_keys_are_listed_without_their_text(database: sa.Engine):
    texts = [made(database, name=name) for name in ("ada", "eve")]
    with database.begin() as connection:
        listed = list_keys(connection)
        revoke(connection, listed[0].key.key_id)
        assert list_keys(connection)[0].revoked_at is not None
    assert [entry.key.name for entry in listed] == ["ada", "eve"]
    assert not any(text in str(listed) for text in texts)


@pytest.mark.parametrize(
    ("role", "tenant", "name"),
    [("king", "acme", "ada"), ("admin", " ", "ada"), ("admin", "acme", ""), ("admin", "a\0", "b")],
)
def test_a_key_for_nobody_is_refused(database: sa.Engine, role: str, tenant: str, name: str):
    with database.begin() as connection, pytest.raises(ValueError, match=r"role|tenant|name"):
        create_key(connection, role, tenant, name)


def eventually(ring: KeyRing, text: str, *, known: bool) -> None:
    deadline = time.monotonic() + 30
    while (ring.find(text) is not None) != known:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_rotated_key_gives_way_to_one_that_stands_for_the_same(
    database: sa.Engine, ring: KeyRing
):
    with database.begin() as connection:
        old = create_key(connection, "admin", "acme", "ada", requests_per_minute=7)
        (listed,) = list_keys(connection)
    before = found(ring, old)
    assert before is not None
    with database.begin() as connection:
        new = rotate(connection, listed.key.key_id, grace_s=1.5)
        assert new is not None
    after = found(ring, new)
    assert after is not None
    assert after.key_id != before.key_id
    assert (after.role, after.tenant, after.name) == ("admin", "acme", "ada")
    assert after.requests_per_minute == 7
    eventually(ring, old, known=False)  # by the clock alone: nothing is written when it ends
    assert ring.find(new) == after


def test_a_key_in_its_grace_is_in_use_and_can_be_ended_at_once(database: sa.Engine, ring: KeyRing):
    text = made(database)
    with database.begin() as connection:
        key_id = list_keys(connection)[0].key.key_id
        assert rotate(connection, key_id, grace_s=3600) is not None
        assert [listed.in_use for listed in list_keys(connection)] == [True, True]
    assert found(ring, text) is not None
    with database.begin() as connection:
        assert rotate(connection, key_id, grace_s=7200) is not None
        assert revoke(connection, key_id)
        assert rotate(connection, key_id) is None
        assert [listed.in_use for listed in list_keys(connection)] == [False, True, True]
    eventually(ring, text, known=False)


def test_a_changed_limit_is_read(database: sa.Engine, ring: KeyRing):
    texts = [made(database, name=name) for name in ("ada", "eve")]
    ids = [text.split("_")[1] for text in texts]
    for one, other in ((5, None), (None, 5), (None, None)):
        with database.begin() as connection:
            assert limit(connection, ids[0], one, other)
            assert limit(connection, ids[1], other, one)  # the sums of both stay the same
        deadline = time.monotonic() + 30
        while _limits(ring, texts) != [(one, other), (other, one)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with database.begin() as connection:
        assert not limit(connection, "nobody's", 1, 1)
        with pytest.raises(ValueError, match="no limit"):
            limit(connection, ids[0], 0, None)


def _limits(ring: KeyRing, texts: list[str]) -> list[tuple[int | None, int | None]]:
    keys = [found(ring, text) for text in texts]
    return [(key.requests_per_minute, key.tokens_per_minute) for key in keys if key is not None]
