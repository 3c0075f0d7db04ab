"""`receiver token`: the API tokens of downstream apps."""

import re
from collections.abc import Sequence
from datetime import timedelta

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, write_json, write_list
from receiver.model import Scope

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group(cls=Group)
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
@click.option("--scope", "scopes", multiple=True, type=click.Choice(tuple(map(str, Scope))), help="Repeatable.")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--expires", callback=_duration, metavar="90d", help="When it ends; never, if left out.")
@click.option("--replaces", metavar="OLD", help="Take over scopes, sources and consumers of a token; both are valid.")
@as_json
def create(
    name: str,
    scopes: Sequence[str],
    names: Sequence[str],
    expires: timedelta | None,
    replaces: str | None,
    as_json: bool,
) -> None:
    """Create a token and write it to standard output, for this once."""
    from receiver.admin import tokens as acts
    from receiver.web.schemas.times import rfc3339

    if replaces is not None and (scopes or names):
        raise click.UsageError("--replaces takes over scopes and sources: give neither --scope nor --source with it")
    runtime = migrated()
    try:
        made = acts.create(runtime, who(), name, scopes=scopes, source_names=names, lifetime=expires, replaces=replaces)
    except acts.TokenNameWrong as error:
        raise click.UsageError(str(error)) from error
    if replaces is not None:
        click.echo(f"Once {replaces} is used no more: receiver token revoke {replaces}", err=True)
    if not as_json:
        click.echo(made.text)
        return
    ends = rfc3339(made.expires_at) if made.expires_at else None
    granted = {"scopes": list(made.scopes), "sources": list(made.sources), "expires_at": ends}
    write_json({"name": made.name, "token": made.text, **granted})


@token.command("list")
@as_json
@as_csv
def list_tokens(as_json: bool) -> None:
    """List all tokens; never the tokens themselves."""
    from receiver.admin import tokens as acts
    from receiver.store import api_tokens
    from receiver.web.schemas.times import rfc3339

    runtime = migrated()
    now = runtime.clock()
    with runtime.database.read() as connection:
        found = api_tokens.every(connection)
    rows = [
        {
            "name": record.name,
            "state": acts.state(record, now),
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
    from receiver.admin import tokens as acts

    acts.revoke(migrated(), who(), name)
    click.echo(f"Token {name} is revoked.")
