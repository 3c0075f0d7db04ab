"""A primary and its streaming standby, behind one address that may be pointed at either, as a fail-over does it."""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from drills.postgres import OwnPostgres, pg


@dataclass
class Address:
    """A TCP address whose connections are passed on to a server's Unix socket; which server that is can be changed."""

    target: Path
    port: int = 0
    _pairs: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def point_at(self, target: Path, *, cut: bool) -> None:
        """Lead new connections elsewhere; with `cut`, end those that there are, as they end where a server dies."""
        with self._lock:
            self.target = target
            pairs, self._pairs = (self._pairs, set()) if cut else (set(), self._pairs)
        for end in pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # What waits in `accept` is woken by this alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.point_at(self.target, cut=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            with self._lock:
                try:
                    server.connect(str(self.target / ".s.PGSQL.5432"))
                except OSError:
                    client.close()
                    server.close()
                    continue
                self._pairs |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                other.sendall(content)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._pairs.discard(one)
        one.close()


@dataclass
class Standby:
    """A server that follows another one until it is promoted."""

    folder: Path
    user: str | None

    def promote(self) -> None:
        """Make it a primary, and wait until it is."""
        pg("pg_ctl", "promote", f"--pgdata={self.folder}", "--wait", "--silent", user=self.user)

    def stop(self) -> None:
        pg("pg_ctl", "stop", f"--pgdata={self.folder}", "--wait", "--mode=fast", "--silent", user=self.user)


@contextmanager
def standby_of(folder: Path, user: str | None) -> Iterator[Standby]:
    """A hot standby of the server in this folder, that has caught up; stopped and deleted in the end."""
    made = Standby(Path(tempfile.mkdtemp(prefix="rcv-standby-")), user)
    if user is not None:
        shutil.chown(made.folder, user)
    pg(
        "pg_basebackup",
        f"--host={folder}",
        "--username=postgres",
        f"--pgdata={made.folder}",
        "--write-recovery-conf",
        "--checkpoint=fast",
        user=user,
    )
    # The lock of the primary's socket, which was in its folder, came along.
    (made.folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    options = f"-h '' -k {made.folder}"
    # Its log goes to a file: a pipe would be held open by the server, and be waited for.
    pg(
        "pg_ctl",
        "start",
        f"--pgdata={made.folder}",
        "--wait",
        "--silent",
        f"--options={options}",
        f"--log={made.folder}/standby.log",
        user=user,
    )
    try:
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            made.stop()
        shutil.rmtree(made.folder, ignore_errors=True)


def wait_until_caught_up(primary: Path, standby: Path) -> None:
    """Wait until the standby has replayed all that the primary has written by now."""
    with (
        psycopg.connect(uri_of(primary), autocommit=True) as one,
        psycopg.connect(uri_of(standby), autocommit=True) as other,
    ):
        ((written,),) = one.execute("SELECT pg_current_wal_lsn()").fetchall()
        ends = time.monotonic() + 60
        while True:
            ((behind,),) = other.execute("SELECT %s::pg_lsn - pg_last_wal_replay_lsn()", (written,)).fetchall()
            if behind <= 0:
                return
            assert time.monotonic() < ends, "the standby does not follow"
            time.sleep(0.05)


def folder_of(postgres: OwnPostgres) -> Path:
    """Where a server's socket is."""
    with psycopg.connect(postgres.server.get_uri()) as connection:
        ((folder,),) = connection.execute("SHOW unix_socket_directories").fetchall()
    return Path(folder)


def uri_of(folder: Path) -> str:
    """The URL of the server whose socket is here."""
    return f"postgresql://postgres@/postgres?host={folder}"
