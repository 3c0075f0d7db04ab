"""How connections to PostgreSQL are opened: durable at each commit, with a deadline for what must not wait for ever.

A server that hangs, or behind a network that has swallowed it, refuses nothing: only a clock on this side tells.

All that we rely on of a session is set for each one (`SETTINGS`), whatever the server, the database, the role or the
environment have as their own; behind a pooler, which gives each transaction another session, in each transaction.
"""

import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url

from receiver.store.sqlite import BUSY_SECONDS

log = logging.getLogger(__name__)

Returned = TypeVar("Returned")

_of_thread = threading.local()

LOOK_SECONDS = 0.1
"""How often a waiting thread looks whether it was interrupted; the driver's own value."""

STATEMENT_SECONDS = 60
"""Longer than any statement takes among millions of events, but for migrations, which lift it: it ends on the server
what a receiver that has gone left behind."""

CONNECT_SECONDS = 3

LEAST_CONNECT_SECONDS = 2
"""The driver takes no shorter time-out."""

NETWORK_LOST = {
    # A server that is silent is asked after 5 s, and given up after two more tries: else the system waits for hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # What was sent and not acknowledged for so long is lost: else the system sends it again for 15 minutes.
    "tcp_user_timeout": 10_000,
}

KEEPALIVES = {
    # A receiver that is silent, amid a transaction perhaps, is given up: else its locks stay for hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

SETTINGS = {
    "synchronous_commit": "on",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": f"{STATEMENT_SECONDS // 60}min",
    "idle_in_transaction_session_timeout": "0",
}
"""What we rely on of a session, as `SHOW` writes it. Not `search_path`: it names the place of the tables."""

SETTINGS_SINCE = {"idle_session_timeout": "0", "transaction_timeout": "0"}
"""Those that only newer servers know (14, 17), which would refuse the connection otherwise."""

WANTED = {**SETTINGS, **SETTINGS_SINCE}

SAME = {"timezone": "Etc/UTC"}
"""What is as good."""

READ_ONLY = "25006"
"""SQLSTATE of a write on a standby: the address points elsewhere by now, or did when the connection was made."""

REFUSED_AT_START = "startup parameter"
"""What poolers say of start-up options that they do not pass on."""


@contextmanager
def bounded(seconds: float | None) -> Iterator[None]:
    """Within the block, have this thread wait for the server for so long in all; without end where it is none."""
    before = _ends()
    _of_thread.ends = None if seconds is None else time.monotonic() + seconds
    try:
        yield
    finally:
        _of_thread.ends = before


def left() -> float:
    """Return how long this thread may go on waiting, in seconds."""
    ends = _ends()
    return math.inf if ends is None else max(0.0, ends - time.monotonic())


def _ends() -> float | None:
    found: float | None = getattr(_of_thread, "ends", None)
    return found


class DeadlineConnection(psycopg.Connection[Any]):
    """Is closed when the server has not answered in time: nobody knows what state it is in then."""

    is_pooled: bool = False
    """Whether it leads to a pooler, which gives each transaction another session."""

    def wait(self, gen: PQGen[Returned], interval: float = LOOK_SECONDS, timeout: float | None = None) -> Returned:
        """Wait for the server's answer.

        Raises:
            psycopg.OperationalError: it did not come in time.
        """
        if _ends() is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left())
        except psycopg.OperationalError as error:
            if left() > 0:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("the server did not answer in time") from error


@dataclass
class Sessions:
    """What is known of the sessions that the address gives us."""

    url: URL
    takes_options: bool = True
    """False once a pooler has refused the start-up options."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Of a pooler's sessions: the settings that are other than wanted in any that was looked at, with what is found."""

    def connect(self, arguments: Any, parameters: Any) -> "DeadlineConnection":
        """Open a connection whose session, or each of whose transactions, has the settings.

        Raises:
            psycopg.OperationalError
        """
        if not self.takes_options:
            parameters = {**parameters, "options": self._options_given()}
        try:
            connection = DeadlineConnection.connect(*arguments, **parameters)
        except psycopg.OperationalError as error:
            if not self.takes_options or REFUSED_AT_START not in str(error):
                raise
            self.takes_options = False
            return self.connect(arguments, parameters)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def options(self) -> str:
        """Return the start-up options: those of the URL, and behind them ours, which win."""
        ours = {name: value.replace(" ", r"\ ") for name, value in {**SETTINGS, **KEEPALIVES}.items()}
        return " ".join([self._options_given(), *(f"-c {name}={value}" for name, value in ours.items())]).strip()

    def _options_given(self) -> str:
        given = self.url.query.get("options", "")
        return given if isinstance(given, str) else " ".join(given)

    def _prepare(self, connection: "DeadlineConnection") -> None:
        """Set what start-up options could not, such as against `PGDATESTYLE`; note a pooler, where nothing stays."""
        connection.autocommit = True
        looks = ", ".join(f"current_setting('{name}', true)" for name in WANTED)
        found = connection.execute(f"SELECT pg_backend_pid(), {looks}".encode()).fetchone()
        assert found is not None  # noqa: S101 - for the type checker
        pid, *values = found
        lacks = {
            name: value
            for (name, right), value in zip(WANTED.items(), values, strict=True)
            if value is not None and value not in (right, SAME.get(name))
        }
        # The number that a pooler gives a client is not that of the server's process.
        if pid != connection.pgconn.backend_pid:
            connection.prepare_threshold = None
            connection.is_pooled = True
            self._note(lacks)
        elif lacks:
            connection.execute(_settings_to(lacks, is_local=False).encode())
        connection.autocommit = False

    def _note(self, lacks: dict[str, str]) -> None:
        if lacks.keys() - self.lacks.keys():
            self.lacks = {**lacks, **self.lacks}
            log.warning("%s", self.notice)

    @property
    def notice(self) -> str | None:
        """What an operator should know and do about a pooler; none where there is nothing to do."""
        if not self.lacks:
            return None
        found = ", ".join(f"{name} is {value}" for name, value in self.lacks.items())
        role = self.url.username or "…"
        remedy = " ".join(f"ALTER ROLE \"{role}\" SET {name} = '{WANTED[name]}';" for name in self.lacks)
        return (
            f"the database is behind a pooler, in whose sessions our settings did not take ({found}): they are set "
            f"anew in each transaction, which costs a round trip; to spare it: {remedy}"
        )


def _is_broken(connection: Connection | None) -> bool:
    """Tell whether the driver has given a connection up, in whatever words.

    A pooler's last word on a session that its server has ended may come as a second answer to the statement, which the
    driver reports as an internal error and not as a lost connection.
    """
    if connection is None or connection.closed or connection.invalidated:
        return False
    driver = connection.connection.driver_connection
    return isinstance(driver, psycopg.Connection) and driver.broken


def _settings_to(lacks: Iterable[str], *, is_local: bool) -> str:
    calls = (f"set_config('{name}', '{WANTED[name]}', {str(is_local).lower()})" for name in lacks)
    return f"SELECT {', '.join(calls)}"


def postgresql_engine(url: str) -> tuple[Engine, Sessions]:
    """Return the engine for a server, and what is known of its sessions; it opens no connection yet."""
    sessions = Sessions(make_url(url))
    engine = create_engine(
        url,
        pool_size=20,
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": sessions.options(),
            "client_encoding": "utf8",
            # A standby is refused: else connections to it would stay when the address has gone on to the primary.
            "target_session_attrs": "read-write",
            **NETWORK_LOST,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> DeadlineConnection:
        if left() < LEAST_CONNECT_SECONDS:
            raise psycopg.OperationalError("the server did not answer in time")
        return sessions.connect(arguments, parameters)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        # The look of one connection met one of the pooler's sessions; its transactions may meet any other.
        if isinstance(driver, DeadlineConnection) and driver.is_pooled and sessions.lacks:
            connection.exec_driver_sql(_settings_to(sessions.lacks, is_local=True))

    @event.listens_for(engine, "handle_error")
    def drop_useless(context: ExceptionContext) -> None:
        """Have all connections made anew where one turns out to lead to a standby, or was ended from the other side."""
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY or _is_broken(context.connection):
            context.is_disconnect = True

    return engine, sessions
