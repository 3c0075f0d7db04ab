"""`receiver audit`: who did what, why and when."""

import json
from typing import TextIO

import click

from receiver.cli.context import Group, migrated
from receiver.cli.output import as_csv, as_json, limit, pages, write_list


@click.group(cls=Group)
def audit() -> None:
    """Look at the audit log."""


@audit.command("list")
@limit
@as_json
@as_csv
def list_entries(limit: int, as_json: bool) -> None:
    """List entries, newest first."""
    from receiver.admin import audit as acts
    from receiver.web.schemas.base import AuditEntry

    runtime = migrated()
    found = pages(lambda below, size: acts.listing(runtime, below=below, limit=size), lambda row: row.id, limit)
    rows = (AuditEntry.of(row).shown() for row in found)
    write_list(rows, ["id", "at", "who", "what", "why", "about"], as_json, "The audit log is empty.")


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
