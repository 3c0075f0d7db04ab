"""`receiver audit`: who did what, why and when."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

import click

from receiver.cli.context import Group, Time, migrated
from receiver.cli.output import as_csv, as_json, limit, pages, write_list


@click.group(cls=Group)
def audit() -> None:
    """Look at the audit log."""


@audit.command("list")
@click.option("--who", "whose", help="Only what this person, or command, did.")
@click.option("--what", help="Only this act, such as secret.set; or all of a kind, such as secret. with its dot.")
@click.option("--after", type=Time(), help="Only at this time or later.")
@click.option("--before", type=Time(), help="Only before this time.")
@limit
@as_json
@as_csv
def list_entries(
    whose: str | None,
    what: str | None,
    after: datetime | None,
    before: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List entries, newest first: all, or those that fit all options."""
    from receiver.admin import audit as acts
    from receiver.web.schemas.base import AuditEntry

    runtime = migrated()
    only = acts.AuditFilter(whose, what, after, before)

    def read(below: int | None, size: int) -> Sequence[acts.AuditRecord]:
        return acts.listing(runtime, below=below, limit=size, only=only)

    found = pages(read, lambda row: row.id, limit)
    rows = (AuditEntry.of(row).shown() for row in found)
    none = "There is no such entry." if any(only) else "The audit log is empty."
    write_list(rows, ["id", "at", "who", "what", "why", "about"], as_json, none)


@audit.command()
@click.option("--anchor", metavar="FILE|DIGEST", help="What the log must hold: an earlier export, or a noted digest.")
def verify(anchor: str | None) -> None:
    """Check that no entry was changed, added or taken out."""
    from receiver.admin import audit as acts

    state = acts.verify(migrated(), anchor)
    click.echo(
        f"{state.entries} entries, each bound to the one before it; the newest digest is {state.digest or 'none'}."
    )


@audit.command()
@click.argument("to", type=click.File("w", encoding="utf-8", lazy=False), default="-", metavar="[FILE]")
def export(to: TextIO) -> None:
    """Write all entries as lines of JSON, oldest first; the last line is an anchor for `audit verify`."""
    from receiver.admin import audit as acts

    for line in acts.export(migrated()):
        to.write(f"{json.dumps(line)}\n")
