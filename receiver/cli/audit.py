"""`receiver audit`: who did what, why and when."""

import click

from receiver.cli.context import migrated
from receiver.cli.output import as_json, limit, write_list
from receiver.store import audit as stored
from receiver.web.schemas.base import AuditEntry


@click.group()
def audit() -> None:
    """Look at the audit log."""


@audit.command("list")
@limit
@as_json
def list_entries(limit: int, as_json: bool) -> None:
    """List entries, newest first."""
    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [AuditEntry.of(row).shown() for row in stored.listing(connection, limit=limit)]
    write_list(rows, ["id", "at", "who", "what", "why", "about"], as_json, "The audit log is empty.")


@audit.command()
def verify() -> None:
    """Check that no entry was changed or taken out."""
    runtime = migrated()
    with runtime.database.read() as connection:
        number = stored.verify(connection)
    click.echo(f"{number} entries, each bound to the one before it.")
