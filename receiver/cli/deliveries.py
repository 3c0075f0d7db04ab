"""`receiver deliveries`: requests as they came, above all those that were rejected."""

from collections.abc import Sequence

import click

from receiver.cli.context import migrated, who
from receiver.cli.output import as_json, cell, limit, write_fields, write_json, write_list


@click.group()
def deliveries() -> None:
    """Look at deliveries, find out how one was signed, verify rejected ones again."""


@deliveries.command("list")
@click.option("--source", help="Only this source.")
@limit
@as_json
def list_deliveries(source: str | None, limit: int, as_json: bool) -> None:
    """List the rejected deliveries that are kept, newest first."""
    from receiver.store import deliveries as stored
    from receiver.web.schemas.deliveries import Delivery

    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [Delivery.of(row).shown() for row in stored.rejected(connection, source, below=None, limit=limit)]
    columns = ["id", "received_at", "source", "reason", "detail", "peer", "body_bytes"]
    write_list(rows, columns, as_json, "No rejected delivery is kept.")


@deliveries.command()
@click.argument("delivery_id")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery, whatever became of it."""
    from receiver.admin import deliveries as acts
    from receiver.web.schemas.deliveries import Delivery

    shown = Delivery.of(acts.find(migrated(), delivery_id)).shown()
    write_json(shown) if as_json else write_fields(shown)


@deliveries.command()
@click.argument("delivery_id")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Try this path too; repeatable.")
@as_json
def explain(delivery_id: str, paths: Sequence[str], as_json: bool) -> None:
    """Find out how a delivery was signed: which secret, encoding and path fit, and how far the clock was off."""
    from receiver.admin import deliveries as acts
    from receiver.web.schemas.deliveries import Explanation

    explained = acts.explain(migrated(), who(), delivery_id, paths)
    shown = Explanation.made(explained.delivery, explained.report).shown()
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
    from receiver.admin import deliveries as acts

    done = acts.reverify(migrated(), who(), delivery_ids, source)
    if as_json:
        write_json({"verified": done.verified, "accepted": list(done.accepted)})
    else:
        number = len(done.accepted)
        click.echo(f"Verified {done.verified} again: {number} accepted, {done.verified - number} rejected.")
