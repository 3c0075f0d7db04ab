"""What all tables share: names of constraints, and the columns that recur."""

from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Index, MetaData, Table
from sqlmodel import Field, SQLModel

from receiver.store.types import BigKey, UtcDateTime

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
    """A number that the database counts up."""
    return Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))


def time(**options: Any) -> Any:
    """A time in UTC."""
    return Field(sa_type=UtcDateTime, **options)


def source() -> Any:
    """The source that a row belongs to."""
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), nullable=False))


def source_key() -> Any:
    """The source that a row belongs to, which has one such row at most."""
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), primary_key=True, autoincrement=False))


def partial_index(name: str, columns: list[ColumnElement[Any]], where: ColumnElement[bool]) -> Index:
    """An index over the rows that fulfil a condition."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)
