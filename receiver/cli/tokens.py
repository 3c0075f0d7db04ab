"""`receiver token`: the API tokens of downstream apps."""

import re
from collections.abc import Sequence
from datetime import timedelta

import click

from receiver.cli.context import migrated, source_named
from receiver.cli.output import as_json, write_json, write_list
from receiver.store import api_tokens
from receiver.web.schemas.times import rfc3339

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def token() -> None:
    """Create and revoke API tokens of downstream apps."""


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    words = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
    if not words:
        raise click.BadParameter("takes a number and m, h, d or w, such as 90d")
    return timedelta(**{_UNITS[words[2]]: int(words[1])})


@token.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(api_tokens.SCOPES), help="Repeatable.")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--expires", callback=_duration, metavar="90d", help="When it ends; never, if left out.")
@as_json
def create(name: str, scopes: Sequence[str], names: Sequence[str], expires: timedelta | None, as_json: bool) -> None:
    """Create a token and write it to standard output, for this once."""
    runtime = migrated()
    now = runtime.clock()
    expires_at = now + expires if expires else None
    granted = list(scopes or api_tokens.DEFAULT_SCOPES)
    with runtime.database.write() as connection:
        for source in names:
            source_named(connection, source)
        made = api_tokens.create(connection, name=name, scopes=granted, sources=names, now=now, expires_at=expires_at)
    if as_json:
        ends = rfc3339(expires_at) if expires_at else None
        write_json({"name": name, "token": made, "scopes": granted, "sources": list(names), "expires_at": ends})
    else:
        click.echo(made)


@token.command("list")
@as_json
def list_tokens(as_json: bool) -> None:
    """List all tokens; never the tokens themselves."""
    runtime = migrated()
    now = runtime.clock()
    with runtime.database.read() as connection:
        found = api_tokens.every(connection)
    rows = [
        {
            "name": record.name,
            "state": "revoked"
            if record.revoked_at
            else "expired"
            if record.expires_at and record.expires_at <= now
            else "valid",
            "scopes": list(record.scopes),
            "sources": list(record.sources),
            "expires_at": rfc3339(record.expires_at) if record.expires_at else None,
            "last_used_at": rfc3339(record.last_used_at) if record.last_used_at else None,
        }
        for record in found
    ]
    columns = ["name", "state", "scopes", "sources", "expires_at", "last_used_at"]
    write_list(rows, columns, as_json, "There is no token yet.")


@token.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End a token at once."""
    runtime = migrated()
    with runtime.database.write() as connection:
        ended = api_tokens.revoke(connection, name, runtime.clock())
    if not ended:
        raise click.ClickException(f"there is no valid token {name!r}")
    click.echo(f"Token {name} is revoked.")
