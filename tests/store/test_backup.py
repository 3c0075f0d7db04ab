"""A copy of a SQLite database while it is written to."""

import errno
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import KEY, add_source
from store.race import append, read

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import backup, feed
from receiver.store.backup import BackupRefused
from receiver.store.database import Database, StoreUnavailable


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """PostgreSQL has pg_dump."""
    return sqlite_url


@pytest.fixture
def written(parts: Runtime) -> Iterator[threading.Event]:
    """The database, written to without a pause until the test ends; set once some of it is there."""
    source, stop, begun = add_source(parts), threading.Event(), threading.Event()

    def keep_writing() -> None:
        for number in itertools.count():
            with parts.database.write() as connection:
                append(connection, parts, source, f"{number}a")
                append(connection, parts, source, f"{number}b")
            if number == 50:
                begun.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    yield begun
    stop.set()
    writer.join()


def opened(to: Path, parts: Runtime) -> Runtime:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=f"sqlite:///{to}")
    return runtime.start(settings, parts.clock)


def test_a_copy_made_amid_writing_is_whole_and_its_positions_are_the_same(
    parts: Runtime, written: threading.Event, tmp_path: Path
) -> None:
    written.wait(30)
    read(parts)
    to = tmp_path / "copy.db"
    size = backup.copy(parts.database, to)
    assert size == to.stat().st_size > 0
    copy = opened(to, parts)
    copied = read(copy)
    copy.database.close()
    # No transaction is there in half.
    assert len(copied) % 2 == 0
    assert len(copied) > 100
    assert read(parts)[: len(copied)] == copied


def test_nothing_is_left_beside_the_copy(parts: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    backup.copy(parts.database, folder / "copy.db")
    assert [path.name for path in folder.iterdir()] == ["copy.db"]


def test_a_copy_goes_on_where_it_was_made(parts: Runtime, tmp_path: Path) -> None:
    source = add_source(parts)
    with parts.database.write() as connection:
        append(connection, parts, source, "a")
        append(connection, parts, source, "b")
    read(parts)
    backup.copy(parts.database, tmp_path / "copy.db")
    copy = opened(tmp_path / "copy.db", parts)
    with copy.database.write() as connection:
        append(connection, copy, source, "c")
    assert [(entry.position, entry.subject) for entry in read(copy, after=2)] == [(3, "c")]
    copy.database.close()


def test_it_overwrites_nothing(parts: Runtime, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    to.write_bytes(b"precious")
    with pytest.raises(BackupRefused, match="exists already"):
        backup.copy(parts.database, to)
    assert to.read_bytes() == b"precious"


@pytest.mark.parametrize("has_links", [True, False], ids=["with hard links", "without"])
@pytest.mark.parametrize("is_there", [True, False], ids=["a file that comes meanwhile", "no file"])
def test_a_file_that_comes_under_the_name_while_it_copies_is_not_overwritten(
    parts: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool, is_there: bool
) -> None:
    to, copy = tmp_path / "copy.db", backup._copy

    def copied(*given: Any) -> None:
        copy(*given)
        if is_there:
            to.write_bytes(b"precious")

    def no_link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(backup, "_copy", copied)
    if not has_links:
        monkeypatch.setattr(os, "link", no_link)
    if is_there:
        with pytest.raises(BackupRefused, match="exists already"):
            backup.copy(parts.database, to)
        assert to.read_bytes() == b"precious"
    else:
        assert backup.copy(parts.database, to) == to.stat().st_size > 0
        assert to.stat().st_nlink == 1
    assert list(tmp_path.glob("copy.db*.part")) == []


def test_no_empty_file_is_left_where_a_copy_gets_no_name(
    parts: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StoreUnavailable):
        backup.copy(parts.database, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_beside_the_copy_is_left_alone(parts: Runtime, tmp_path: Path, kind: str) -> None:
    beside, precious = tmp_path / "copy.db.part", tmp_path / "precious"
    precious.write_bytes(b"precious")
    if kind == "link":
        beside.symlink_to(precious)
    else:
        beside.write_bytes(b"precious")
    backup.copy(parts.database, tmp_path / "copy.db")
    assert (beside.is_symlink(), beside.read_bytes()) == (kind == "link", b"precious")
    assert [path.name for path in tmp_path.glob("copy.db*.part")] == ["copy.db.part"]


def test_a_folder_that_does_not_exist_fails(parts: Runtime, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        backup.copy(parts.database, tmp_path / "none" / "copy.db")


def test_a_damaged_copy_is_not_kept(parts: Runtime, tmp_path: Path) -> None:
    source = add_source(parts)
    with parts.database.write() as connection:
        for number in range(2000):
            append(connection, parts, source, f"e{number}")
    read(parts)
    parts.database.close()
    path = Path(parts.database.url.removeprefix("sqlite:///"))
    whole = bytearray(path.read_bytes())
    whole[40_000:200_000] = bytes(160_000)
    path.write_bytes(whole)
    with pytest.raises((BackupRefused, StoreUnavailable)):
        backup.copy(parts.database, tmp_path / "copy.db")
    assert list(tmp_path.glob("copy.db*")) == []


def test_postgresql_has_its_own() -> None:
    with pytest.raises(BackupRefused, match="pg_dump"):
        backup.copy(Database("postgresql+psycopg://nobody@127.0.0.1:1/none"), Path("copy.db"))


def test_a_head_of_its_own_keeps_positions_after_a_restore(parts: Runtime, tmp_path: Path) -> None:
    backup.copy(parts.database, tmp_path / "copy.db")
    copy = opened(tmp_path / "copy.db", parts)
    with copy.database.read() as connection:
        assert feed.head(connection) == 0
    copy.database.close()
