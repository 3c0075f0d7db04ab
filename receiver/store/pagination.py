"""Keyset pagination of a list that is filtered by several values: each part is read in order from its own index."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    any_,
    bindparam,
    func,
    select,
    union_all,
)

PARTS_MAX = 200
"""Combinations of filters in one statement; beyond it a plain filter serves."""


def page(
    columns: Iterable[ColumnElement[Any]],
    alternatives: Sequence[Sequence[ColumnElement[bool]]],
    *,
    where: Sequence[ColumnElement[bool]],
    order: ColumnElement[Any],
    limit: int | BindParameter[int],
) -> Select[Any]:
    """Select columns of up to `limit` rows that fulfil `where` and one of the alternatives, in the given order.

    An `IN` over the leading column of an index loses the index's order, so each alternative is read on its own, up to
    the limit, and the parts are merged. `order` is one of the columns, or that column `.desc()`.
    """
    chosen = list(columns)
    parts = [select(*chosen).where(*where, *alternative).order_by(order).limit(limit) for alternative in alternatives]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(merged).order_by(_same(order, merged.c)).limit(limit)


def _same(order: ColumnElement[Any], columns: Any) -> ColumnElement[Any]:
    """Return the same order over the merged columns."""
    element = getattr(order, "element", None)
    if element is None:
        found: ColumnElement[Any] = columns[order.key]
        return found
    descending: ColumnElement[Any] = columns[element.key].desc()
    return descending


def combinations(*choices: tuple[ColumnElement[Any], Sequence[Any]]) -> list[list[ColumnElement[bool]]]:
    """Return every way to choose one value for each column; a column without values is left open.

    A column that would make them more than `PARTS_MAX` takes any of its values in each way: put those with fewer
    values first.
    """
    ways: list[list[ColumnElement[bool]]] = [[]]
    for column, values in choices:
        distinct = list(dict.fromkeys(values))
        if len(ways) * len(distinct) > PARTS_MAX:
            ways = [[*way, column.in_(distinct)] for way in ways]
        elif distinct:
            ways = [[*way, column == value] for way in ways for value in distinct]
    return ways


def beside(column: ColumnElement[Any], values: Sequence[Any], neutral: Any) -> list[ColumnElement[bool]]:
    """Return the condition that a column has one of the values, worded so that no index is taken for it.

    For use beside a condition that leaves few rows. A planner without statistics holds all indexes for equally good,
    and may walk the whole of a frequent type for the sake of its order. `neutral` is no value of the column.
    """
    return [func.coalesce(column, neutral).in_(list(values))] if values else []


def leading(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Return the condition that a column has a value, worded so that only an index that begins with it gives an order.

    For the first row of a query that is ordered by this column before all else. PostgreSQL may think of any other
    index with that order that it comes to such a row soon, and walks over all there is where there is none.
    """
    return column.between(value, value)


def among(connection: Connection, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of many values, which go to the database as one parameter.

    With a parameter for each, drivers take longer over the statement than the database does over the rows.
    """
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps(list(values))).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
