"""Searching a database and what was logged for secrets, in every form in which one could have got there."""

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

from receiver.store.database import Database


def forms(secret: str) -> set[bytes]:
    """The secret in plain, Base64 and hex, and the bytes that it encodes likewise."""
    values = {secret.encode()}
    with suppress(binascii.Error):
        values.add(base64.b64decode(secret, validate=True))
    found = set(values)
    for value in values:
        found |= {value.hex().encode(), value.hex().upper().encode(), quote(value).encode()}
        found |= set(_base64(value))
    found.add(json.dumps(secret)[1:-1].encode())
    return {form for form in found if len(form) >= 12}


def _base64(value: bytes) -> Iterator[bytes]:
    """In each of the three places where it can start in a longer text, without what its neighbours decide."""
    for start in range(3):
        encoded = base64.b64encode(b"\0" * start + value)
        inner = encoded[(start * 8 + 5) // 6 : (start + len(value)) * 8 // 6]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def found(secrets: Iterable[str], places: dict[str, bytes]) -> list[tuple[str, str]]:
    """The places that hold a secret, each with the beginning of the form in which it stands there."""
    return [
        (name, form[:6].decode("latin-1"))
        for secret in secrets
        for form in forms(secret)
        for name, content in places.items()
        if form in content
    ]


def dump(database: Database) -> dict[str, bytes]:
    """All that the database holds: SQLite's files and its dump as SQL, every table of PostgreSQL as text."""
    if database.is_sqlite:
        path = Path(database.url.removeprefix("sqlite:///"))
        files = {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}
        connection = sqlite3.connect(path)
        try:
            return files | {"dump": "\n".join(connection.iterdump()).encode()}
        finally:
            connection.close()
    with psycopg.connect(database.url.replace("postgresql+psycopg://", "postgresql://")) as server:
        names = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {name: _copy(server, name) for (name,) in names}


def _copy(server: psycopg.Connection, table: str) -> bytes:
    with server.cursor() as cursor, cursor.copy(f'COPY "{table}" TO STDOUT'.encode()) as rows:
        return b"".join(bytes(part) for part in rows)
