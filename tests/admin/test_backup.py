"""Copying the database is noted, but a database that can't be written can still be copied."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin.looking import WHO, noted
from conftest import KEY, StandingClock

from receiver import runtime
from receiver.admin import database
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import audit
from receiver.store.backup import BackupRefused
from receiver.store.database import StoreUnavailable


@pytest.fixture
def parts(sqlite_url: str, clock: StandingClock) -> Iterator[Runtime]:
    """SQLite alone can be copied so."""
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=sqlite_url)
    started = runtime.start(settings, clock)
    yield started
    started.database.close()


def test_a_copy_is_noted_by_its_name_and_size(parts: Runtime, tmp_path: Path) -> None:
    made = database.backup(parts, WHO, tmp_path / "copy.db")
    assert (made.size, made.is_audited) == ((tmp_path / "copy.db").stat().st_size, True)
    assert noted(parts) == [(WHO, "database.backed_up", {"file": "copy.db", "bytes": made.size})]


def test_a_copy_that_is_refused_is_not_noted(parts: Runtime, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("something else")
    with pytest.raises(BackupRefused):
        database.backup(parts, WHO, tmp_path / "copy.db")
    assert noted(parts) == []


def test_a_database_that_can_not_be_written_is_copied_all_the_same(
    parts: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(audit, "write", fail)
    assert not database.backup(parts, WHO, tmp_path / "copy.db").is_audited
    assert sqlite3.connect(tmp_path / "copy.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
