"""Identifiers: in order of time, with their hour in them, and proof of where they come from."""

import multiprocessing
import time
import uuid
from pathlib import Path

import pytest

from loop_platform.identity import CallIdentity, hour_of, identity_secret, milliseconds_of, new_id

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC

identity = CallIdentity(b"a secret of this test")


def test_an_id_is_a_uuid_of_version_7_with_its_time():
    for made in (new_id(), identity.mint("acme")):
        parsed = uuid.UUID(made)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert abs(milliseconds_of(made) - time.time() * 1000) < 1000
        assert str(parsed) == made


def test_ids_sort_by_time():
    made = [new_id(NEW_YEAR_MS + number) for number in range(100)]
    assert sorted(made) == made
    first = identity.mint("acme")
    time.sleep(0.002)
    assert first < identity.mint("acme")


def test_the_hour_is_in_the_id():
    assert hour_of(new_id(NEW_YEAR_MS)) == "2026-01-01-00:00"
    assert hour_of(new_id(NEW_YEAR_MS - 1)) == "2025-12-31-23:00"


def test_what_is_no_uuid_7_has_no_hour():
    for text in ("", "01", str(uuid.uuid4())):
        with pytest.raises(ValueError, match="UUID"):
            hour_of(text)


def test_a_call_id_proves_its_origin_and_tenant():
    call_id = identity.mint("acme")
    assert identity.issued(call_id, "acme")
    assert not identity.issued(call_id, "other")
    assert not CallIdentity(b"another secret here").issued(call_id, "acme")


def test_no_bit_of_a_call_id_can_be_changed():
    value = uuid.UUID(identity.mint("acme")).int
    forged = [str(uuid.UUID(int=value ^ (1 << bit))) for bit in range(128)]
    assert not any(identity.issued(call_id, "acme") for call_id in forged)


def test_other_ids_are_no_call_ids():
    for text in ("", "x", new_id(), str(uuid.uuid4()), "loop"):
        assert not identity.issued(text, "acme")


def test_call_ids_of_one_millisecond_differ():
    assert len({identity.mint("acme") for _ in range(10_000)}) == 10_000


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        CallIdentity(b"short")


def test_workers_that_start_at_once_agree_on_the_secret(tmp_path: Path):
    path = tmp_path / "new" / "identity.secret"
    with multiprocessing.get_context("fork").Pool(4) as workers:
        secrets = workers.map(identity_secret, [path] * 16, chunksize=1)
    assert set(secrets) == {identity_secret(path)}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["identity.secret"]
