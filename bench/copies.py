"""Copies of payments' rows, written by the database itself: each with a number, an account, an amount and a time."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Column, Connection, LargeBinary, text
from sqlmodel import SQLModel

from receiver.banks.abilities import Listed
from receiver.store import tables
from receiver.store.tables import table_of
from receiver.store.tables.base import UtcDateTime

START = datetime(2020, 1, 1, tzinfo=UTC)
"""When the first copy came."""

A_DAY = 10_000
"""Payments of a business day."""

ORIGINALS = 10

EVERY_MS = 24 * 3600 * 1000 // A_DAY

NUMBER, ACCOUNT = 7_000_000_001, 8_000_000_001
"""Of the first payment that copies are made of ..."""

NUMBERS, ACCOUNTS = 7_100_000_000, 8_100_000_000
"""... and those that copies are numbered from."""

_CURRENCIES = ("USD", "EUR", "GBP", "CHF")

NAMING = {"subject", "payment_id", "reference", "account", "list_name", "amount"}
"""Columns whose text holds a number, an account or an amount."""


def milliseconds(at: datetime) -> int:
    """Return a time in milliseconds since 1970, as ids begin with it."""
    return int(at.timestamp() * 1000)


_AT = f"{milliseconds(START)} + CAST(n.i AS bigint) * {EVERY_MS}"

_SPELLINGS = {
    "sqlite": {
        "milliseconds": f"printf('%012x', {_AT})",
        "time": f"strftime('%Y-%m-%d %H:%M:%f', ({_AT}) / 1000.0, 'unixepoch') || '000'",
        "day": f"strftime('%Y-%m-%d', ({_AT}) / 1000, 'unixepoch')",
        "sha256": "sha256_of({} || n.i)",
        "hex": "lower(hex({}))",
        "read": "CAST({} AS text)",
        "body": "CAST({} AS blob)",
        "json": "{}",
    },
    "postgresql": {
        "milliseconds": f"lpad(to_hex({_AT}), 12, '0')",
        "time": f"to_timestamp(({_AT}) / 1000.0)",
        "day": f"CAST(to_timestamp(({_AT}) / 1000.0) AT TIME ZONE 'UTC' AS date)",
        "sha256": "sha256(convert_to({} || n.i, 'UTF8'))",
        "hex": "encode({}, 'hex')",
        "read": "convert_from({}, 'UTF8')",
        "body": "convert_to({}, 'UTF8')",
        "json": "CAST({} AS json)",
    },
}


def payment_id(number: int) -> str:
    """Return the id of the copy with this number."""
    return f"FT{NUMBERS + number}"


def account(number: int) -> str:
    """Return the account that it is on."""
    return str(ACCOUNTS + number * 7919 % 50021)


def amount(number: int) -> str:
    """Return its amount."""
    return f"{1 + number * 7919 % 9973}.{10 + number % 90}"


def came_at(number: int) -> datetime:
    """Return when its callback came."""
    return START + timedelta(milliseconds=number * EVERY_MS)


def original(number: int, at: datetime) -> Listed:
    """Return the bank's line of a payment that copies are made of, from 0."""
    return _line(NUMBER + number, ACCOUNT + number, f"{1001 + number}.11", number, at)


def copy(number: int, at: datetime) -> Listed:
    """Return the bank's line of the copy with this number."""
    return _line(NUMBERS + number, int(account(number)), amount(number), number, at)


def _line(number: int, account_number: int, worth: str, kind: int, at: datetime) -> Listed:
    return Listed(
        type="bcb.deposit",
        payment_id=f"FT{number}",
        account=str(account_number),
        direction="incoming",
        amount=Decimal(worth),
        currency=_CURRENCIES[kind % ORIGINALS % len(_CURRENCIES)],
        at=at,
        detail={"transaction_type": "Swift payment", "remittance": f"Invoice 2026-{number} of the order before"},
    )


def write(connection: Connection, before: int, first: int, last: int, *, listed: int) -> None:
    """Write the copies from one number to another; those up to `listed` are on the bank's list too.

    `before` is the feed's last position: theirs are the next ones.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        driver: Any = connection.connection.driver_connection
        driver.create_function(
            "sha256_of", 1, lambda given: hashlib.sha256(given.encode()).digest(), deterministic=True
        )
    spelled = Spelled(_SPELLINGS[connection.dialect.name])
    numbers = "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
    for model in COPIED:
        table = table_of(model)
        connection.execute(text(f"CREATE TEMPORARY TABLE originals AS {ORIGINALS_OF[model]}"))
        columns = [column for column in table.columns if column.name != "id" or model not in COUNTED_UP]
        names = ", ".join(column.name for column in columns)
        values = ", ".join(spelled.value(model, column) for column in columns)
        order = "n.i, t.place" if model is tables.FeedEntry else "n.i"
        copies = f"{numbers} SELECT {values} FROM n JOIN originals t ON t.k = n.i % {ORIGINALS} ORDER BY {order}"
        numbered = {"first": first, "last": last if model is not tables.BankLine else min(last, listed)}
        if model is tables.FeedEntry:
            numbered["shift"] = before + 1 - 2 * first
        if numbered["first"] <= numbered["last"]:
            connection.execute(text(f"INSERT INTO {table.name} ({names}) {copies}"), numbered)
        connection.execute(text("DROP TABLE originals"))
    through = before + 2 * (last + 1 - first)
    connection.execute(text("UPDATE feed_head SET position = :through"), {"through": through})
    if not is_sqlite:
        connection.execute(text("SELECT setval(pg_get_serial_sequence('subjects', 'id'), :last)"), {"last": 2 * last})


COPIED: tuple[type[SQLModel], ...] = (
    *(tables.Delivery, tables.Event, tables.FeedEntry, tables.Subject, tables.Check, tables.BankLine),
)


COUNTED_UP = {tables.Check, tables.BankLine}

_K = f"CAST(substr({{}}, 3) AS bigint) - {NUMBER} AS k"

_IS_ORIGINAL = f"BETWEEN 'FT{NUMBER}' AND 'FT{NUMBER + ORIGINALS - 1}'"

_OF_PAYMENT = f"SELECT {_K.format('payment_id')}, o.* FROM {{}} o WHERE payment_id {_IS_ORIGINAL}"

_OF_SUBJECT = f"SELECT {_K.format('subject')}, {{}} o.* FROM {{}} o WHERE subject {_IS_ORIGINAL}"


ORIGINALS_OF: dict[type[SQLModel], str] = {
    tables.Delivery: (
        f"SELECT {_K.format('e.payment_id')}, o.* FROM deliveries o JOIN events e ON e.delivery_id = o.id "
        f"WHERE e.payment_id {_IS_ORIGINAL}"
    ),
    tables.Event: _OF_PAYMENT.format("events"),
    tables.FeedEntry: _OF_SUBJECT.format("CASE WHEN type = 'bcb.deposit' THEN 0 ELSE 1 END AS place,", "feed_entries"),
    tables.Subject: _OF_SUBJECT.format("", "subjects"),
    tables.Check: (
        f"SELECT {_K.format('s.subject')}, o.* FROM checks o JOIN subjects s ON s.id = o.subject_id "
        f"WHERE s.subject {_IS_ORIGINAL}"
    ),
    tables.BankLine: _OF_PAYMENT.format("bank_lines"),
}


class Spelled:
    """How a column of a copy is written in one database's SQL."""

    def __init__(self, spelling: Mapping[str, str]) -> None:
        self._spelling = spelling
        digest = self._hex("'id '")
        key = f"{spelling['milliseconds']} || substr({digest}, 1, 16)"
        number = "CAST(n.i AS bigint)"
        position = f"2 * {number} + CAST(:shift AS bigint) + t.place"
        event_id, nonce = f"'evt_' || {key}", self._hex("'nonce '")
        self._special: dict[type[SQLModel], dict[str, str]] = {
            tables.Delivery: {"id": f"'dlv_' || {key}", "nonce": f"substr({nonce}, 1, 36)"},
            tables.Event: {
                "id": event_id,
                "delivery_id": f"'dlv_' || {key}",
                "identity": spelling["sha256"].format("'event '"),
            },
            tables.FeedEntry: {"position": position, "outbox_id": position, "event_id": event_id},
            tables.Subject: {"id": f"2 * {number}", "last_event_id": event_id},
            tables.Check: {"subject_id": f"2 * {number}"},
            tables.BankLine: {"identity": self._hex("'line '"), "event_id": event_id, "day": spelling["day"]},
        }

    def _hex(self, before: str) -> str:
        return self._spelling["hex"].format(self._spelling["sha256"].format(before))

    def value(self, model: type[SQLModel], column: Column[Any]) -> str:
        """Return what stands in a column of a copy; `n.i` is its number, `t` the row that it is copied from."""
        name, spelling = column.name, self._spelling
        if (special := self._special[model].get(name)) is not None:
            return special
        if isinstance(column.type, UtcDateTime):
            return f"CASE WHEN t.{name} IS NULL THEN NULL ELSE {spelling['time']} END"
        if isinstance(column.type, JSON):
            return spelling["json"].format(_renamed(f"CAST(t.{name} AS text)"))
        if isinstance(column.type, LargeBinary):
            return spelling["body"].format(_renamed(spelling["read"].format(f"t.{name}")))
        return _renamed(f"t.{name}") if name in NAMING else f"t.{name}"


def _renamed(old: str) -> str:
    """Put the copy's number, account and amount in the place of those of the row that it is copied from."""
    for before, after in (
        (f"CAST({NUMBER} + t.k AS text)", f"CAST({NUMBERS} + CAST(n.i AS bigint) AS text)"),
        (f"CAST({ACCOUNT} + t.k AS text)", f"CAST({ACCOUNTS} + CAST(n.i AS bigint) * 7919 % 50021 AS text)"),
        ("(1001 + t.k) || '.11'", "(1 + CAST(n.i AS bigint) * 7919 % 9973) || '.' || (10 + n.i % 90)"),
    ):
        old = f"replace({old}, {before}, {after})"
    return old
