"""Writing lists for people and for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

import click
from click.core import ParameterSource

CSV = "receiver.cli.output.csv"
"""Where a command's context holds that CSV is asked for."""

PAGE = 1000
"""Rows that are read at a time: no read transaction is open for longer, however long the list is."""

Row = TypeVar("Row")

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
reason = click.option("--reason", help="Why somebody looks at it; it is kept in the audit log.")
limit = click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="At most so many.")


def _note_csv(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    ctx.meta[CSV] = is_asked


as_csv = click.option(
    "--csv", is_flag=True, expose_value=False, callback=_note_csv, help="Write CSV, for spreadsheets; no --limit: all."
)
"""`write_list` sees to it: a command need not know."""


def most(limit: int) -> int:
    """Return how many rows to write: as CSV a list is written whole where no `--limit` was typed."""
    context = click.get_current_context()
    is_typed = context.get_parameter_source("limit") is not ParameterSource.DEFAULT
    return sys.maxsize if context.meta.get(CSV) and not is_typed else limit


def pages(read: Callable[[Any, int], Sequence[Row]], place: Callable[[Row], Any], limit: int) -> Iterator[Row]:
    """Go through a list page by page; `read` takes the place to go on from and how many, `place` is that of a row."""
    left = most(limit)
    below: Any = None
    while left:
        size = min(left, PAGE)
        found = read(below, size)
        yield from found
        if len(found) < size:
            return
        left, below = left - size, place(found[-1])


def write_json(value: Any) -> None:
    """Write one JSON document, in ASCII: what came from outside can't steer the terminal."""
    click.echo(json.dumps(value, indent=2))


def in_rfc3339(value: Any) -> Any:
    """Return what is to be written as JSON, with the times in it as texts."""
    if isinstance(value, datetime):
        from receiver.web.schemas.times import rfc3339

        return rfc3339(value)
    if isinstance(value, dict):
        return {name: in_rfc3339(inner) for name, inner in value.items()}
    return [in_rfc3339(inner) for inner in value] if isinstance(value, list | tuple) else value


def write_list(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], as_json: bool, none: str) -> None:
    """Write rows as JSON, as CSV (`as_csv`), or as a table with the named columns; `none` is for no rows at all.

    JSON and CSV have all fields of a row; CSV is written as the rows come.
    """
    if click.get_current_context().meta.get(CSV):
        if as_json:
            raise click.UsageError("--csv and --json exclude each other")
        _write_csv(iter(rows), columns)
        return
    rows = list(rows)
    if as_json:
        write_json([dict(row) for row in rows])
    elif not rows:
        click.echo(none, err=True)
    else:
        cells = [[column.replace("_", " ") for column in columns]]
        cells += [[cell(row.get(column)) for column in columns] for row in rows]
        widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
        for line in cells:
            click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _write_csv(rows: Iterator[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from receiver.web.schemas import spreadsheet

    first = next(rows, None)
    names = list(columns if first is None else first)
    click.echo(spreadsheet.line(names), nl=False)
    for row in chain([first] if first is not None else [], rows):
        click.echo(spreadsheet.line(row.get(name) for name in names), nl=False)


def write_bytes(content: bytes) -> None:
    """Write what came from outside as it is; at a terminal, which it could steer, as text without what steers."""
    if sys.stdout.isatty():
        click.echo("\n".join(cell(line) for line in content.decode("utf-8", "replace").splitlines()))
    else:
        sys.stdout.buffer.write(content)


def write_fields(fields: Mapping[str, Any]) -> None:
    """Write one thing, a field a line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' ').ljust(width)}  {cell(value)}")


def cell(value: Any) -> str:
    """Write a value so that it fits into a line; what came from outside can't steer the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        from receiver.web.schemas.times import rfc3339

        return rfc3339(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(character if character.isprintable() else "�" for character in text)
