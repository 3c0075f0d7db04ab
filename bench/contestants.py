"""Who is compared: each knows how it is set up, how its callbacks are signed, and how many it has stored."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from bank import SECRET
from conftest import KEY, add_source
from servers import ROOT, environment
from sqlalchemy import create_engine, text

from bench.stage import Serving, Stage
from receiver import runtime
from receiver.settings import Settings
from receiver.store import schema

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass
class Contestant:
    """A server at the start: where its callbacks go, who signs them, and what counts those that it has stored."""

    name: str
    serving: Serving
    path: str = "/webhooks/bcb"
    signer: str = "bcb"
    stored: Callable[[], int | None] = field(default=lambda: None)


Start = Callable[[Stage], AbstractContextManager[Contestant]]


def _environment(url: str, **more: str) -> dict[str, str]:
    """What each gunicorn gets: the committed settings read the receiver's own variables, whatever they serve."""
    given = environment(url, KEY, RECEIVER_LOG_LEVEL="ERROR", BENCH_SECRET=SECRET, **more)
    return {**given, "PYTHONPATH": str(ROOT)}


def _count(url: str, table: str) -> Callable[[], int]:
    def stored() -> int:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608
        finally:
            engine.dispose()

    return stored


def bare(name: str, path: str, kind: str) -> Start:
    """The yardstick, served as the receiver is on that kind of database."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = f"sqlite:///{stage.folder}/unused.db" if kind == SQLITE else "postgresql+psycopg://unused/unused"
        with stage.served("bench.bare:app", _environment(url)) as serving:
            yield Contestant(name, serving, path)

    return start


def ours(kind: str) -> Start:
    """The receiver."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = stage.database(kind, "ours")
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))  # type: ignore[call-arg]
        try:
            schema.upgrade(parts.database)
            add_source(parts)
        finally:
            parts.database.close()
        with stage.served("wsgi:app", _environment(url)) as serving:
            yield Contestant(f"ours-{kind}", serving, stored=_count(url, "events"))

    return start


def textbook(kind: str) -> Start:
    """What people write."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        url = stage.database(kind, "textbook")
        given = _environment(url, TEXTBOOK_DATABASE_URL=url)
        subprocess.run([sys.executable, "-m", "bench.textbook"], cwd=ROOT, env=given, check=True)
        with stage.served("bench.textbook:app", given) as serving:
            yield Contestant(f"textbook-{kind}", serving, stored=_count(url, "callback"))

    return start


CONTESTANTS: dict[str, Start] = {
    "bare": bare("bare", "/webhooks/bcb", SQLITE),
    "bare-verified": bare("bare-verified", "/verified", SQLITE),
    "ours-sqlite": ours(SQLITE),
    "ours-postgresql": ours(POSTGRESQL),
    "textbook-sqlite": textbook(SQLITE),
    "textbook-postgresql": textbook(POSTGRESQL),
}
