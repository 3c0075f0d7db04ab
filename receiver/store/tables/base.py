"""What all tables share: column types that mean the same on both databases, names of constraints, recurring columns."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

BigKey = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit whole number that SQLite can count up by itself (it does so for `INTEGER` alone)."""


class _WrittenDateTime(sqlite.DATETIME):
    """A time as SQLAlchemy writes it for SQLite, `2026-03-04 12:00:00.000000`."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:  # noqa: ARG002
        """Return what writes a time."""
        return lambda value: None if value is None else sqlite_text(value)


_WRITTEN: TypeEngine[Any] = _WrittenDateTime()  # type: ignore[no-untyped-call]


def sqlite_text(value: datetime) -> str:
    """Write a time as SQLite keeps it: in UTC, without its zone.

    Raises:
        ValueError: it has no zone.
    """
    return in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def in_utc(value: datetime) -> datetime:
    """Return a time in UTC; what has no zone is refused rather than guessed.

    Raises:
        ValueError
    """
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    return value.astimezone(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, to the microsecond; SQLite keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Write times to SQLite by Python's own way to write them: SQLAlchemy's takes ten times as long."""
        return dialect.type_descriptor(_WRITTEN if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse what has no zone."""
        return None if value is None else in_utc(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}


def metadata() -> MetaData:
    """Return what the migrations are compared with."""
    return SQLModel.metadata


def table_of(model: type[SQLModel]) -> Table:
    """Return the SQLAlchemy Core table behind a model, for statements that need no object."""
    found = SQLModel.metadata.tables[str(model.__tablename__)]
    assert isinstance(found, Table)  # noqa: S101 - for the type checker
    return found


def key() -> Any:
    """Make a column for a primary key that the database counts up."""
    return Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))


def time(**options: Any) -> Any:
    """Make a column for a time in UTC."""
    return Field(sa_type=UtcDateTime, **options)


def word(vocabulary: type[StrEnum], **options: Any) -> Any:
    """Make a column for a closed vocabulary: text in the database, so a new word needs no migration; an enum here."""
    return Field(sa_type=_words(vocabulary), **options)


def _words(vocabulary: type[StrEnum]) -> Any:
    return Enum(vocabulary, native_enum=False, length=None, values_callable=lambda words: [str(each) for each in words])


def source() -> Any:
    """Make a column for the source that a row belongs to."""
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), nullable=False))


def shared_source() -> Any:
    """Make such a column for a table that callbacks write to: no foreign key, which each row would pay for.

    A source's row is never deleted (`receiver.store.source_removal`); a trigger refuses it where something has come.
    """
    return Field(sa_column=Column(BigKey, nullable=False))


def source_key() -> Any:
    """Make a column for the source that a row belongs to, as primary key: a source has one such row at most."""
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), primary_key=True, autoincrement=False))


def partial_index(name: str, columns: list[ColumnElement[Any]], where: ColumnElement[bool]) -> Index:
    """Make a partial index: over the rows that fulfil a condition."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)
