"""`receiver consumers`: who reads the feed, how far each has come, and whom each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, limit, pages, write_fields, write_json, write_list

if TYPE_CHECKING:
    from datetime import datetime

    from receiver.runtime import Runtime


@click.group(cls=Group)
def consumers() -> None:
    """Look at the consumers of the feed; move, give away, share and remove one."""


@consumers.command("list")
@limit
@as_json
@as_csv
def list_consumers(limit: int, as_json: bool) -> None:
    """List consumers by name, with how far each is behind."""
    from receiver.admin import consumers as acts
    from receiver.web.schemas.feed import Consumer

    runtime = migrated()
    found = pages(
        lambda behind, size: acts.listing(runtime, behind=behind, limit=size), lambda each: each.consumer.name, limit
    )
    rows = (Consumer.made(each, runtime.settings.keys).shown() for each in found)
    columns = ["consumer", "token", "position", "lag_entries", "lag_seconds", "read_at", "acked_at"]
    write_list(rows, columns, as_json, "There is no consumer yet.")


@consumers.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one consumer."""
    _show(migrated(), name, as_json)


@consumers.command()
@click.argument("name")
@click.option("--to", required=True, metavar="PLACE", help="beginning, end, a cursor, or a time with its zone.")
@as_json
def seek(name: str, to: str, as_json: bool) -> None:
    """Move a consumer on purpose, forwards or back; the audit log notes it."""
    from receiver.admin import consumers as acts

    runtime = migrated()
    acts.find(runtime, name)
    acts.seek(runtime, who(), name, _place(runtime, name, to))
    _show(runtime, name, as_json)


def _place(runtime: Runtime, name: str, to: str) -> int | datetime | None:
    from receiver.feed.cursors import Cursors, read_either
    from receiver.web.schemas.times import asked_time, is_meant_as_time

    if to in ("beginning", "end"):
        return 0 if to == "beginning" else None
    if not is_meant_as_time(to):
        keys = runtime.settings.keys
        return read_either(to, Cursors(keys, "feed"), Cursors(keys, f"consumer:{name}"))
    try:
        return asked_time(to)
    except ValueError as error:
        raise click.UsageError(f"--to takes beginning, end, a cursor, or {error}") from error


@consumers.command("set")
@click.argument("name")
@click.option("--token", required=True, help="The token that it is to belong to, alone.")
def set_consumer(name: str, token: str) -> None:
    """Give a consumer to a token, in the place of any other; its shares end."""
    from receiver.admin import consumers as acts

    acts.give(migrated(), who(), name, token)
    click.echo(f"The consumer {name} belongs to the token {token}, and to no other.")


@consumers.command()
@click.argument("name")
@click.option("--token", required=True, help="The token that may use it too.")
def share(name: str, token: str) -> None:
    """Let another token use a consumer; one whose owner is none, revoked or expired is given to it."""
    from receiver.admin import consumers as acts

    found = acts.share(migrated(), who(), name, token)
    if found.owner == token:
        click.echo(f"The consumer {name} belongs to the token {token}.")
    else:
        click.echo(f"The consumer {name} of the token {found.owner} is shared with {', '.join(found.shared_with)}.")


@consumers.command()
@click.argument("name")
def remove(name: str) -> None:
    """Delete a consumer and what is noted of its reading; its name is free then."""
    from receiver.admin import consumers as acts

    acts.remove(migrated(), who(), name)
    click.echo(f"The consumer {name} is removed.")


def _show(runtime: Runtime, name: str, as_json: bool) -> None:
    from receiver.admin import consumers as acts
    from receiver.web.schemas.feed import Consumer

    acts.find(runtime, name)
    found = acts.standing(runtime, name)
    assert found is not None  # noqa: S101 - looked up above
    shown = Consumer.made(found, runtime.settings.keys).shown()
    write_json(shown) if as_json else write_fields(shown)
