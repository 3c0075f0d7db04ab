"""`receiver deliveries`: requests as they came, above all those that were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from receiver.cli.context import Group, Time, migrated, who
from receiver.cli.output import (
    as_csv,
    as_json,
    cell,
    limit,
    pages,
    reason,
    write_bytes,
    write_fields,
    write_json,
    write_list,
)
from receiver.model import Verdict

if TYPE_CHECKING:
    from receiver.admin.deliveries import Reverified


@click.group(cls=Group)
def deliveries() -> None:
    """Look at deliveries, find out how one was signed, verify rejected ones again."""


@deliveries.command("list")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--verdict", type=click.Choice(["late", "rejected"]), help="Only these; without it, both.")
@click.option("--reason", "reasons", multiple=True, help="Only this reason, such as signature_mismatch; repeatable.")
@click.option("--after", type=Time(), help="Only what was received at this time or later.")
@click.option("--contains", metavar="TEXT", default="", help="Only with this text in it: its id, for one.")
@limit
@as_json
@as_csv
def list_deliveries(
    names: Sequence[str],
    verdict: str | None,
    reasons: Sequence[str],
    after: datetime | None,
    contains: str,
    limit: int,
    as_json: bool,
) -> None:
    """List late deliveries, which wait to be confirmed, and the rejected ones that are kept; newest first."""
    from receiver.admin import search
    from receiver.admin.names import Names
    from receiver.store.deliveries import Listed
    from receiver.web.schemas.deliveries import Delivery

    runtime = migrated()
    Names(runtime.database).check_all("source", names)
    verdicts = (Verdict(verdict),) if verdict else Listed.verdicts
    wanted = Listed(verdicts, names, reasons, after)
    found = pages(
        lambda below, size: search.find_deliveries(runtime, wanted, contains=contains, below=below, limit=size),
        lambda row: row.id,
        limit,
    )
    rows = (Delivery.of(row).shown() for row in found)
    columns = ["id", "received_at", "source", "verdict", "reason", "detail", "peer", "body_bytes"]
    is_narrowed = names or verdict or reasons or after or contains
    none = "None of these is kept." if is_narrowed else "No late or rejected delivery is kept."
    write_list(rows, columns, as_json, none)


@deliveries.command()
@click.argument("delivery_id")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery, whatever became of it; of a late one, what it tells."""
    from receiver.admin import deliveries as acts
    from receiver.web.schemas.deliveries import DeliveryWithEvents

    runtime = migrated()
    shown = DeliveryWithEvents.made(acts.find(runtime, delivery_id), acts.tells(runtime, delivery_id)).shown()
    if as_json:
        write_json(shown)
        return
    tells = shown.pop("tells")
    write_fields(shown)
    for event in tells:
        click.echo(f"- tells {cell({name: value for name, value in event.items() if value is not None})}")


@deliveries.command()
@click.argument("delivery_id")
@reason
def raw(delivery_id: str, reason: str | None) -> None:
    """Write the body of a delivery as it is stored to standard output; the audit log notes it."""
    from receiver.admin import deliveries as acts

    row, body = acts.raw(migrated(), who(), delivery_id, reason)
    if len(body) < row.body_bytes:
        click.echo(f"Only the first {len(body)} of {row.body_bytes} bytes were kept.", err=True)
    write_bytes(body)


@deliveries.command()
@click.argument("delivery_id")
@click.option("--reason", required=True, help="Why; it is kept in the audit log.")
@as_json
def accept(delivery_id: str, reason: str, as_json: bool) -> None:
    """Accept a late delivery that the bank has not confirmed: what it tells becomes events, marked late."""
    from receiver.admin import deliveries as acts

    runtime = migrated()
    recorded = acts.accept(runtime, who(), delivery_id, reason)
    if as_json:
        write_json({"delivery": delivery_id, "events": list(recorded.event_ids)})
    else:
        click.echo(f"Accepted: {' '.join(recorded.event_ids)}")


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
    fits, remarks, commands = (shown.pop(name) for name in ("fits", "remarks", "commands"))
    write_fields(shown)
    for fit in fits:
        encoding = f", encoding {fit['encoding']}" if fit["encoding"] else ""
        but = f"; but {', and '.join(fit['differences'])}" if fit["differences"] else ", as the source has it"
        click.echo(f"- {cell(fit['key'])}{encoding}, over the path {cell(fit['path'])}, made this signature{cell(but)}")
    for remark in remarks:
        click.echo(f"- {cell(remark)}")
    if commands:
        click.echo("To put it right:")
    for command in commands:
        click.echo(cell(command))


@deliveries.command()
@click.argument("delivery_ids", nargs=-1, metavar="[DELIVERY_ID]...")
@click.option("--source", help="Only this source.")
@as_json
def reverify(delivery_ids: Sequence[str], source: str | None, as_json: bool) -> None:
    """Accept rejected deliveries that are proven genuine by now; all that are kept, or the ones that are named.

    Where only the time of one is off, it becomes late, and waits to be confirmed.
    """
    from receiver.admin import deliveries as acts

    _write_outcome(acts.reverify(migrated(), who(), delivery_ids, source), as_json)


@deliveries.command("put-right")
@click.argument("delivery_id")
@as_json
def put_right(delivery_id: str, as_json: bool) -> None:
    """Set the options by which a refused delivery would have been taken, and verify all that its source refused again.

    They are those that `explain` finds.
    """
    from receiver.admin import deliveries as acts

    _write_outcome(acts.put_right(migrated(), who(), delivery_id), as_json)


def _write_outcome(done: Reverified, as_json: bool) -> None:
    if as_json:
        lists = {"accepted": done.accepted, "late": done.late, "cut": done.cut}
        write_json({"verified": done.verified, **{name: list(ids) for name, ids in lists.items()}})
    else:
        click.echo(done.words)
