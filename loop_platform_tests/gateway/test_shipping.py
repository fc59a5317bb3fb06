"""Segments reach the lake and the manifest exactly once, whatever breaks in between."""

import errno
import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from loop_platform.database import segment_hours, segments
from loop_platform.gateway.contents import Contents
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.shipping import Shipper
from loop_platform.identity import new_id
from loop_platform.settings import Settings
from loop_platform_tests.gateway.test_journal import feedback

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC


def shipper(settings: Settings, database: sa.Engine) -> Shipper:
    journal = Journal(settings.data_dir / "journal", 0.0, 2**20)
    journal.append(feedback())
    return Shipper(journal, database, settings.lake)


def manifest(database: sa.Engine):
    with database.connect() as connection:
        rows = connection.execute(sa.select(segments)).all()
        hours = connection.execute(sa.select(segment_hours.c.segment_id)).all()
    assert {row.segment_id for row in rows} == {hour.segment_id for hour in hours}
    return rows


def test_a_segment_is_in_the_lake_and_the_manifest_and_no_longer_here(
    settings: Settings, database: sa.Engine
):
    shipper(settings, database).ship()
    (row,) = manifest(database)
    content = (Path(settings.lake) / row.path).read_bytes()
    assert row.path == f"segments/{row.sealed_at:%Y-%m-%d}/{row.segment_id}.jsonl"
    assert (row.bytes, row.lines) == (len(content), 1)
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert list((settings.data_dir / "journal").iterdir()) == []


def test_what_a_writer_noted_is_what_a_reader_finds(settings: Settings):
    journal = Journal(settings.data_dir / "journal", 0.0, 2**20)
    for _ in range(3):
        journal.append(feedback())
    ((path, noted),) = journal.seal().items()
    found = Contents.read(path.read_bytes())
    assert (noted.bytes, noted.lines, noted.sha256) == (found.bytes, 3, found.sha256)
    assert noted.hours == found.hours != set()


def test_a_segment_is_readable_to_whom_the_lake_is(settings: Settings, database: sa.Engine):
    shipper(settings, database).ship()
    (row,) = manifest(database)
    shipped = Path(settings.lake) / row.path
    assert shipped.stat().st_mode & 0o777 == shipped.parent.stat().st_mode & 0o666
    assert shipped.stat().st_nlink == 1
    assert list(shipped.parent.iterdir()) == [shipped]


def test_a_lake_on_another_disk_gets_a_copy(
    settings: Settings, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
):
    def another_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", another_disk)
    shipper(settings, database).ship()
    (row,) = manifest(database)
    content = (Path(settings.lake) / row.path).read_bytes()
    assert row.sha256 == hashlib.sha256(content).hexdigest()


def test_a_segment_waits_for_the_lake(settings: Settings, database: sa.Engine):
    Path(settings.lake).parent.mkdir(parents=True, exist_ok=True)
    Path(settings.lake).write_text("in the way")
    ship = shipper(settings, database)
    with pytest.raises(OSError, match="lake"):
        ship.ship()
    assert len(list((settings.data_dir / "journal").iterdir())) == 1
    assert manifest(database) == []
    Path(settings.lake).unlink()
    ship.ship()
    assert len(manifest(database)) == 1


def test_a_break_before_the_file_went_enters_nothing_twice(settings: Settings, database: sa.Engine):
    ship = shipper(settings, database)
    ship.ship()
    (row,) = manifest(database)
    path = settings.data_dir / "journal" / f"{row.segment_id}.jsonl"
    path.write_bytes((Path(settings.lake) / row.path).read_bytes())
    ship.ship()
    assert manifest(database) == [row]
    assert not path.exists()


def test_two_shippers_do_not_get_into_each_others_way(settings: Settings, database: sa.Engine):
    both = [shipper(settings, database) for _ in range(2)]
    for ship in both:
        ship.start()
    for ship in both:
        ship.stop()
    assert len(manifest(database)) == 2


def test_every_line_counts_in_the_hour_of_its_own_id():
    calls = [b'{"record":"call","call_id":"%s"}' % new_id(NEW_YEAR_MS).encode()]
    calls += [
        b'{"record":"feedback","feedback_id":"%s"}' % new_id(NEW_YEAR_MS + 3_600_000).encode()
    ]
    torn = b'{"record":"call","call_id":"01'
    other = [b'{"record":"poem"}', b"\xff", b'{"record":"call","call_id":"x"}', b"", torn]
    assert Contents.read(b"\n".join(calls + other)).hours == {
        "2026-01-01-00:00",
        "2026-01-01-01:00",
    }


def test_a_segment_without_a_readable_line_is_still_in_the_manifest(
    settings: Settings, database: sa.Engine
):
    folder = settings.data_dir / "journal"
    journal = Journal(folder, 0.0, 2**20)
    (folder / f"{new_id()}.open.jsonl").write_bytes(b"torn")
    Shipper(journal, database, settings.lake).ship()
    assert [row.lines for row in manifest(database)] == [1]
