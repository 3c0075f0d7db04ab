"""`receiver deliveries`: requests as they came, above all those that were rejected."""

from collections.abc import Sequence
from typing import Any

import click

from receiver.cli.context import migrated, source_named, who
from receiver.cli.output import as_json, cell, limit, write_fields, write_json, write_list
from receiver.credentials.settlement import Settlement
from receiver.inbox import explain as explaining
from receiver.runtime import Runtime
from receiver.store import audit, events
from receiver.web.schemas.deliveries import Delivery, Explanation

ALL = 10_000_000
"""More than can be kept."""

AUDITED = 100
"""Deliveries that one entry of the audit log names."""


@click.group()
def deliveries() -> None:
    """Look at deliveries, find out how one was signed, verify rejected ones again."""


@deliveries.command("list")
@click.option("--source", help="Only this source.")
@limit
@as_json
def list_deliveries(source: str | None, limit: int, as_json: bool) -> None:
    """List the rejected deliveries that are kept, newest first."""
    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [Delivery.of(row).shown() for row in events.rejected(connection, source, below=None, limit=limit)]
    columns = ["id", "received_at", "source", "reason", "detail", "peer", "body_bytes"]
    write_list(rows, columns, as_json, "No rejected delivery is kept.")


@deliveries.command()
@click.argument("delivery_id")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery, whatever became of it."""
    shown = Delivery.of(_delivery(migrated(), delivery_id)).shown()
    write_json(shown) if as_json else write_fields(shown)


def _delivery(runtime: Runtime, delivery_id: str) -> Any:
    with runtime.database.read() as connection:
        row = events.delivery(connection, delivery_id)
    if row is None:
        raise click.ClickException(f"there is no delivery {delivery_id!r}")
    return row


@deliveries.command()
@click.argument("delivery_id")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Try this path too; repeatable.")
@as_json
def explain(delivery_id: str, paths: Sequence[str], as_json: bool) -> None:
    """Find out how a delivery was signed: which secret, encoding and path fit, and how far the clock was off."""
    runtime = migrated()
    row = _delivery(runtime, delivery_id)
    prefix = runtime.settings.public_path_prefix
    with runtime.database.read() as connection:
        report = explaining.explain(connection, runtime.encryption, row, prefix, paths, runtime.clock())
    shown = Explanation.made(row, report).shown()
    if as_json:
        write_json(shown)
        return
    fits, remarks = shown.pop("fits"), shown.pop("remarks")
    write_fields(shown)
    for fit in fits:
        encoding = f", encoding {fit['encoding']}" if fit["encoding"] else ""
        but = f"; but {', and '.join(fit['differences'])}" if fit["differences"] else ", as the source has it"
        click.echo(f"- {cell(fit['key'])}{encoding}, over the path {cell(fit['path'])}, made this signature{cell(but)}")
    for remark in remarks:
        click.echo(f"- {cell(remark)}")


@deliveries.command()
@click.argument("delivery_ids", nargs=-1, metavar="[DELIVERY_ID]...")
@click.option("--source", help="Only this source.")
@as_json
def reverify(delivery_ids: Sequence[str], source: str | None, as_json: bool) -> None:
    """Accept rejected deliveries that are proven genuine by now; all that are kept, or the ones that are named."""
    runtime = migrated()
    with runtime.database.read() as connection:
        if source is not None:
            source_named(connection, source)
        rows = events.rejected(connection, source, below=None, limit=ALL)
    missing = set(delivery_ids) - {row.id for row in rows}
    if missing:
        raise click.ClickException(f"there is no rejected delivery {sorted(missing)[0]!r}")
    chosen = [row for row in reversed(rows) if not delivery_ids or row.id in delivery_ids]
    accepted = Settlement(runtime).verify(chosen)
    if accepted:
        about = {"source": source, "deliveries": sorted(accepted)[:AUDITED], "accepted": len(accepted)}
        with runtime.database.write() as connection:
            audit.write(connection, at=runtime.clock(), who=who(), what="deliveries.reverified", why=None, about=about)
    if as_json:
        write_json({"verified": len(chosen), "accepted": sorted(accepted)})
    else:
        click.echo(f"Verified {len(chosen)} again: {len(accepted)} accepted, {len(chosen) - len(accepted)} rejected.")
