"""`receiver deliveries`: requests as they came, above all those that were rejected."""

import click

from receiver import representations
from receiver.cli.output import as_json, limit, write_fields, write_json, write_list
from receiver.cli.parts import migrated
from receiver.store import events


@click.group()
def deliveries() -> None:
    """Look at deliveries."""


@deliveries.command("list")
@click.option("--source", help="Only this source.")
@limit
@as_json
def list_deliveries(source: str | None, limit: int, as_json: bool) -> None:
    """List the rejected deliveries that are kept, newest first."""
    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [representations.delivery(row) for row in events.rejected(connection, source, below=None, limit=limit)]
    columns = ["id", "received_at", "source", "reason", "detail", "peer", "body_bytes"]
    write_list(rows, columns, as_json, "No rejected delivery is kept.")


@deliveries.command()
@click.argument("delivery_id")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery, whatever became of it."""
    runtime = migrated()
    with runtime.database.read() as connection:
        row = events.delivery(connection, delivery_id)
    if row is None:
        raise click.ClickException(f"there is no delivery {delivery_id!r}")
    shown = representations.delivery(row)
    write_json(shown) if as_json else write_fields(shown)
