"""SQLite's files are for the receiver's user alone, whatever the umask; a SQLite that lacks something is refused."""

import os
import pwd
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENCRYPTION, KEY
from servers import RECEIVER, ROOT, environment, free_port

from receiver.simulator import tls
from receiver.store import backup, schema, sqlite
from receiver.store.backup import BackupRefused
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.sqlite import open_private


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database two folders deep that are not there yet, as it is amid use."""
    opened = Database(f"sqlite:///{tmp_path}/srv/receiver/receiver.db")
    schema.upgrade(opened, ENCRYPTION)
    check_writable(opened)
    yield opened
    opened.close()


@pytest.mark.usefixtures("umask")
def test_the_database_its_log_and_its_folders_are_for_their_owner_alone(tmp_path: Path, database: Database) -> None:
    assert [mode(tmp_path / folder) for folder in ("srv", "srv/receiver")] == [0o700, 0o700]
    files = {file.name: mode(file) for file in (tmp_path / "srv/receiver").iterdir()}
    assert files == dict.fromkeys(["receiver.db", "receiver.db-wal", "receiver.db-shm", "receiver.db-turn"], 0o600)
    assert database.is_sqlite


@pytest.mark.usefixtures("umask")
def test_a_folder_and_a_file_that_are_there_keep_their_modes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o750)
    (tmp_path / "data/receiver.db").touch()
    (tmp_path / "data/receiver.db").chmod(0o640)
    opened = Database(f"sqlite:///{tmp_path}/data/receiver.db")
    schema.upgrade(opened, ENCRYPTION)
    assert {mode(file) for file in (tmp_path / "data").iterdir()} == {0o640}
    assert mode(tmp_path / "data") == 0o750
    opened.close()


@pytest.mark.usefixtures("umask")
def test_a_copy_is_for_its_owner_alone_and_goes_through_no_link(tmp_path: Path, database: Database) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "copy.db.part").symlink_to(tmp_path / "precious")
    backup.copy(database, tmp_path / "copy.db")
    assert mode(tmp_path / "copy.db") == 0o600
    assert not (tmp_path / "copy.db").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"
    assert [path.name for path in tmp_path.glob("*.part")] == ["copy.db.part"]


def test_a_copy_does_not_take_the_place_of_a_link_that_leads_nowhere(tmp_path: Path, database: Database) -> None:
    (tmp_path / "copy.db").symlink_to(tmp_path / "nothing")
    with pytest.raises(BackupRefused, match="exists already"):
        backup.copy(database, tmp_path / "copy.db")
    assert not (tmp_path / "nothing").exists()


def test_a_copy_that_another_one_to_the_same_file_overtook_is_not_taken_for_it(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_and_lose(path: Path) -> int:
        opened = open_private(path)
        path.unlink()
        path.write_text("another")
        return opened

    monkeypatch.setattr(backup, "open_private", open_and_lose)
    with pytest.raises((BackupRefused, StoreUnavailable)):
        backup.copy(database, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert [path.read_text() for path in tmp_path.glob("copy.db.*.part")] == ["another"]


@pytest.mark.usefixtures("umask")
def test_the_simulator_s_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    ca, _ = tls.server_tls(tmp_path / "keys", "127.0.0.1")
    assert (mode(tmp_path / "keys"), mode(ca)) == (0o700, 0o600)
    ca.unlink()
    ca.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"):
        tls.server_tls(tmp_path / "keys", "127.0.0.1")
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_file_that_can_not_be_opened_is_named_with_whose_it_is_and_who_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder can't be opened by root either.
    (tmp_path / "receiver.db").mkdir(0o700)
    mine, nobody = pwd.getpwuid(os.getuid()).pw_name, 4_000_000_000
    monkeypatch.setattr(os, "geteuid", lambda: nobody)
    database = Database(f"sqlite:///{tmp_path}/receiver.db")
    said = f"file: {tmp_path}/receiver.db: belongs to {mine}, mode 0700; tried by user {nobody}$"
    for open_it in (database.read, database.write):
        with pytest.raises(StoreUnavailable, match=said), open_it():
            pass
    database.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any")
def test_a_file_in_a_folder_that_is_closed_to_this_user_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    database = Database(f"sqlite:///{tmp_path}/closed/receiver.db")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(StoreUnavailable, match=r"closed/receiver\.db: Permission denied; tried by"), database.read():
        pass
    (tmp_path / "closed").chmod(0o700)


OLD = "import sqlite3\nsqlite3.sqlite_version_info = (3, 34, 1)\nsqlite3.sqlite_version = '3.34.1'\n"
SAID = "SQLite 3.34.1 is too old: 3.35 or newer is needed, or PostgreSQL"


@pytest.mark.parametrize(
    "command",
    [
        [*RECEIVER, "worker", "--once"],
        [*RECEIVER, "db", "upgrade"],
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"],
    ],
    ids=["worker", "db upgrade", "gunicorn"],
)
def test_a_sqlite_that_is_too_old_ends_the_start_with_its_name_and_version(
    sqlite_url: str, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(OLD)
    served = environment(sqlite_url, KEY, PYTHONPATH=str(tmp_path), PORT=str(free_port()))
    ended = subprocess.run(command, env=served, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert SAID in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_sqlite_that_does_not_take_what_is_relied_on_is_unavailable_and_says_so(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite.PRAGMAS, "foreign_keys", ("OFF", 1))
    database = Database(sqlite_url)
    with pytest.raises(StoreUnavailable, match="does not take foreign_keys"):
        check_writable(database)
    database.close()
    assert sqlite3.sqlite_version_info >= sqlite.LEAST_VERSION


def test_a_new_file_gives_back_what_it_does_not_need_any_more(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.store.database.SPARE_PAGES", 50)
    monkeypatch.setattr("receiver.store.database.GIVEN_BACK_PAGES", 200)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE big (content BLOB)")
        connection.exec_driver_sql("INSERT INTO big VALUES (zeroblob(4000000))")
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM big")
    turns = 1
    while database.give_back():
        turns += 1
    assert turns > 2
    database.close()
    assert (tmp_path / "srv/receiver/receiver.db").stat().st_size < 2_000_000


def test_a_file_of_an_earlier_release_keeps_its_size_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE big (content BLOB)")
        made.execute("INSERT INTO big VALUES (zeroblob(40000000))")
        made.execute("DELETE FROM big")
    made.close()
    size = path.stat().st_size
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database, ENCRYPTION)
    assert not database.give_back()
    database.close()
    assert path.stat().st_size == size
