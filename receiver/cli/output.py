"""Writing lists for people and for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
limit = click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="At most so many.")


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


def write_list(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool, none: str) -> None:
    """Write rows as JSON, or as a table with the named columns; `none` is said where there are no rows."""
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
