"""`loop erase` and `loop expire`, as people type them."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from loop_platform.database import segments
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.redactors import pseudonym
from loop_platform.identity import identity_secret, new_id
from loop_platform.retention.handover import StillWritingError, hand_over
from loop_platform.settings import settings as loop_settings
from loop_platform_tests.cli.conftest import Loop
from loop_platform_tests.segments import a_call


def test_a_call_that_is_still_in_the_local_journal_is_erased(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    """Of a gateway that died, and in what an import left."""
    mine, other = a_call("my secret", user="eve"), a_call("something else", user="bob")
    for name in ("journal", "import"):
        folder = tmp_path / "loop" / name
        journal = Journal(folder, 60, 2**20)
        journal.append(mine)
        journal.append(other)
        journal.seal(everything=True)
        (dead,) = folder.iterdir()
        dead.rename(folder / f"{new_id()}.open.jsonl")
    erased = loop("erase", "--user", "eve", "--tenant", "acme")
    assert erased.exit_code == 0, erased.output
    assert "journal lines                   2 erased" in erased.output
    assert "no adapter learned from it" in erased.output
    left = [path for path in (tmp_path / "loop").rglob("*") if path.is_file()]
    assert not [path for path in left if b"my secret" in path.read_bytes()]
    with database.connect() as connection:
        paths = connection.scalars(sa.select(segments.c.path)).all()
    texts = [(tmp_path / "loop" / "lake" / path).read_text() for path in paths]
    assert len(texts) == 2
    assert all("something else" in text for text in texts)


def test_a_user_is_erased_under_the_pseudonym_too(loop: Loop, tmp_path: Path) -> None:
    """As a tenant's users are called while it asks that personal data is redacted."""
    secret = identity_secret(tmp_path / "loop" / "identity.secret")
    journal = Journal(tmp_path / "loop" / "journal", 60, 2**20)
    journal.append(a_call("one", user="eve"))
    journal.append(a_call("two", user=pseudonym(secret, "acme", "eve")))
    journal.append(a_call("other", user=pseudonym(secret, "acme", "bob")))
    journal.seal(everything=True)
    erased = loop("erase", "--user", "eve", "--tenant", "acme")
    assert erased.exit_code == 0, erased.output
    assert erased.output.count("journal lines                   1 erased") == 2
    assert loop("erase", "--user", "eve", "--tenant", "acme").exit_code == 1


def test_a_journal_that_is_being_written_and_does_not_end_is_told(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "loop" / "journal", 60, 2**20)
    journal.append(a_call(user="eve"))
    with pytest.raises(StillWritingError, match="still being written: nothing was erased"):
        hand_over(loop_settings(), database, timeout_s=0.3)


def test_nothing_of_a_person_is_told(loop: Loop) -> None:
    missing = loop("erase", "--user", "nobody")
    assert missing.exit_code == 1
    assert "there is nothing of 'nobody'" in missing.output
    assert loop("erase").exit_code == 2


def test_expire_wants_a_setting(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "set retention.days" in loop("expire").output
    monkeypatch.setitem(os.environ, "LOOP_RETENTION__DAYS", "30")
    loop_settings.cache_clear()
    expired = loop("expire", "--dry-run")
    assert expired.exit_code == 0, expired.output
    assert "0 calls would be deleted" in expired.output
