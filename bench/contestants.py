"""Who is compared: each knows how it is set up, how its callbacks are signed, and how many it has stored."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from bank import SECRET
from conftest import KEY, add_source
from servers import RECEIVER, ROOT, as_committed, environment
from sqlalchemy import create_engine, text

from bench.stage import Serving, Stage
from receiver import runtime
from receiver.settings import Settings
from receiver.store import schema

SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Missing(Exception):
    """A contestant can't take part on this machine; the text says why."""


@dataclass
class Contestant:
    """A server at the start: where its callbacks go, who signs them, and what counts those that it has stored."""

    name: str
    serving: Serving
    path: str = "/webhooks/bcb"
    signer: str = "bcb"
    stored: Callable[[], int | None] = field(default=lambda: None)
    url: str | None = None
    """Its database, of ours alone."""


Start = Callable[[Stage], AbstractContextManager[Contestant]]


def given_to(url: str, **more: str) -> dict[str, str]:
    """Return a gunicorn's environment: the committed settings read the receiver's variables, whatever they serve."""
    given = as_committed(environment(url, KEY, **{"RECEIVER_LOG_LEVEL": "ERROR", "BENCH_SECRET": SECRET, **more}))
    return {**given, "PYTHONPATH": str(ROOT)}


def count(url: str, table: str) -> Callable[[], int]:
    """Return what counts the rows of a table."""

    def stored() -> int:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
        finally:
            engine.dispose()

    return stored


def bare(path: str, kind: str) -> Start:
    """Serve the yardstick as the receiver is served on that kind of database."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = f"sqlite:///{stage.folder}/unused.db" if kind == SQLITE else "postgresql+psycopg://unused/unused"
        with stage.served("bench.bare:app", given_to(url)) as serving:
            yield Contestant(f"bare-{kind}", serving, path)

    return start


def ours(
    kind: str, *, app: str = "wsgi:app", gunicorn: Sequence[str] = (), has_worker: bool = False, name: str = "ours"
) -> Start:
    """Serve the receiver over a database of its own, alone or with its worker beside it, as people run it.

    Its source has no credentials: the worker gives positions and writes the index of the search; no bank is asked.
    """

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = stage.database(kind, name)
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
        try:
            schema.upgrade(parts.database, parts.encryption)
            add_source(parts)
        finally:
            parts.database.close()
        with stage.served(app, given_to(url), more=gunicorn) as serving, ExitStack() as beside:
            pid = beside.enter_context(_worker(url)) if has_worker else None
            serving = replace(serving, beside=pid)
            yield Contestant(f"{name}-{kind}", serving, stored=count(url, "events"), url=url)

    return start


@contextmanager
def _worker(url: str) -> Iterator[int]:
    process = subprocess.Popen([*RECEIVER, "worker"], cwd=ROOT, env=given_to(url), start_new_session=True)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def textbook(kind: str, gunicorn: Sequence[str] = ()) -> Start:
    """Serve what people write, with gunicorn's settings as committed, or as people would set them for it."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = stage.database(kind, f"textbook{len(gunicorn)}")
        given = given_to(url, TEXTBOOK_DATABASE_URL=url)
        subprocess.run([sys.executable, "-m", "bench.textbook"], cwd=ROOT, env=given, check=True)
        with stage.served("bench.textbook:app", given, more=gunicorn) as serving:
            yield Contestant(f"textbook-{kind}", serving, stored=count(url, "callback"))

    return start
