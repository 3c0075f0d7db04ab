"""Throw-away databases of a rehearsal, on this machine alone: a SQLite file, or a database on a local PostgreSQL.

What is on another machine is refused before anything is done.
"""

import ipaddress
import secrets
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Composable, Identifier, Literal

from receiver.model import ReceiverError


class NotLoopback(ReceiverError):
    """An address is on another machine, or may be."""


class NoDatabaseUrl(ReceiverError):
    """It is written as no database's URL is."""


class PlaceUnusable(ReceiverError):
    """There is no room for a rehearsal here; the text says why."""


def local_url(url: str) -> str:
    """Check that a database is on this machine: a SQLite file, or a PostgreSQL on loopback or a unix socket.

    Return the URL to open it by. PostgreSQL's is made of what was checked: libraries read what is written oddly in
    different ways, so that what one of them has checked another one would take for a host elsewhere.

    Raises:
        NotLoopback
        NoDatabaseUrl
    """
    return url if url.startswith("sqlite:///") else url_of(local_parts(url))


def local_parts(url: str) -> dict[str, str]:
    """Return what a PostgreSQL URL says, if it is on this machine.

    Raises:
        NotLoopback
        NoDatabaseUrl
    """
    _, _, rest = url.partition("://")
    behind_host = rest[min(found for mark in "/?" if (found := f"{rest}{mark}".find(mark)) >= 0) :]
    names = [name for name, _ in parse_qsl(urlsplit(url).query)]
    if "@" in behind_host or len(names) != len(set(names)):
        raise NotLoopback("the PostgreSQL URL can be read in two ways: write @ behind its host as %40, each name once")
    given = postgresql_parts(url)
    if given.get("service"):
        raise NotLoopback(
            "a PostgreSQL service may lead anywhere: name its host, 127.0.0.1 or the folder of its socket"
        )
    hosts = [host for name in ("host", "hostaddr") for host in given.get(name, "").split(",") if host]
    if not hosts:
        raise NotLoopback("the PostgreSQL URL names no host: name 127.0.0.1, or the folder of its socket (?host=/…)")
    for host in hosts:
        if not is_loopback(host):
            raise NotLoopback(f"{host} is not on this machine: a rehearsal takes 127.0.0.1, ::1, localhost or a socket")
    return given


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: an address of loopback, a socket's folder, or a name for these alone."""
    if host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    if host != "localhost":
        # Any other name may stand for something else a moment later.
        return False
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def url_of(parts: Mapping[str, str]) -> str:
    """Write a PostgreSQL URL, such as RECEIVER_DATABASE_URL takes, that nobody can read in another way."""
    left = dict(parts)
    who = ":".join(quote(left.pop(name), safe="") for name in ("user", "password") if name in left)
    name = quote(left.pop("dbname", ""), safe="")
    return f"postgresql+psycopg://{who}{'@' if who else ''}/{name}?{urlencode(left)}"


def postgresql_parts(url: str) -> dict[str, str]:
    """Return what a PostgreSQL URL says.

    Raises:
        NoDatabaseUrl
    """
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise NoDatabaseUrl("a database is sqlite:///PATH or postgresql://USER@127.0.0.1/NAME")
    try:
        found = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    except psycopg.Error:
        # The library's own text repeats the URL, which may hold a password.
        raise NoDatabaseUrl("that is no PostgreSQL URL") from None
    parts = {name: str(value) for name, value in found.items()}
    if not all(port.isdecimal() for port in parts.get("port", "").split(",") if port):
        raise NoDatabaseUrl("the PostgreSQL URL's port is no number")
    return parts


class ThrowAway(Protocol):
    """A database of the rehearsal's own."""

    kind: str
    url: str
    name: str

    def gone(self) -> Any:
        """Return a context in which the database can't be used."""

    def drop(self) -> None:
        """Remove it."""


class SqliteFile:
    """A file in a folder that goes with the rehearsal."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rehearsal.db"
        self.name = str(self._path)
        self.url = f"sqlite:///{self._path}"

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Hold its write lock, as another program might: nobody can write meanwhile."""
        other = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        finally:
            other.close()

    def drop(self) -> None:
        """Nothing is left to do: the folder goes."""


class PostgresDatabase:
    """A database of its own in a PostgreSQL on this machine, next to others that it never touches."""

    kind = "postgresql"

    def __init__(self, server_url: str) -> None:
        """Make it.

        Raises:
            NotLoopback
            NoDatabaseUrl
            PlaceUnusable: it can't be made.
        """
        parts = local_parts(server_url)
        self._server = make_conninfo(**parts)
        self.name = f"receiver_rehearsal_{secrets.token_hex(6)}"
        self.url = url_of({**parts, "dbname": self.name})
        self._run("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")

    @contextmanager
    def gone(self) -> Iterator[None]:
        """End all its sessions that are the rehearsal's own and refuse new ones, as a server does that goes away."""
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        try:
            self._end_sessions()
            yield
        finally:
            self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true")

    def drop(self) -> None:
        """Drop it, whoever still uses it."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _end_sessions(self) -> None:
        # Our own: those of PostgreSQL itself, such as autovacuum's, none but a superuser may end.
        self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND datname = {}",
            Literal(self.name),
        )

    def _run(self, statement: str, name: Composable | None = None) -> None:
        """Run a statement about this database, by its identifier or as it is given."""
        query = SQL(statement).format(name or Identifier(self.name))
        try:
            with psycopg.connect(self._server, autocommit=True, connect_timeout=30) as connection:
                connection.execute(query)
        except psycopg.Error as error:
            text = " ".join(str(error).split())[:200]
            what = statement.partition(" {}")[0].partition(" FROM ")[0]
            raise PlaceUnusable(f"PostgreSQL refused {what}: {text}") from None
