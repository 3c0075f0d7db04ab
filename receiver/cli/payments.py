"""`receiver payments`: what is known of each payment."""

from typing import Any

import click
from sqlalchemy import Connection, Row

from receiver.cli.context import migrated
from receiver.cli.output import as_json, limit, write_fields, write_json, write_list
from receiver.store import payments as stored
from receiver.store.payments import STATUSES
from receiver.web.schemas.payments import Payment, PaymentWithChecks
from receiver.worker.loop import Worker


@click.group()
def payments() -> None:
    """Look at payments, and ask the bank about one."""


@payments.command("list")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--status", type=click.Choice(STATUSES))
@limit
@as_json
def list_payments(names: tuple[str, ...], status: str | None, limit: int, as_json: bool) -> None:
    """List payments, the latest known first."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = stored.listing(connection, "payment", names=names, status=status, limit=limit)
    rows = [Payment.of(row).shown() for row in found]
    columns = ["source", "payment_id", "status", "agreement", "amount", "currency", "updated_at", "next_check_at"]
    write_list(rows, columns, as_json, "There is no such payment yet.")


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def show(source: str, payment_id: str, as_json: bool) -> None:
    """Show one payment with every check made."""
    runtime = migrated()
    with runtime.database.read() as connection:
        shown = _with_checks(connection, source, payment_id)
    _write(shown, as_json)


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def check(source: str, payment_id: str, as_json: bool) -> None:
    """Ask the bank about one payment now, and show what is known then."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = _find(connection, source, payment_id)
    asked = Worker(runtime).check_now(found.id)
    with runtime.database.read() as connection:
        shown = _with_checks(connection, source, payment_id)
    _write(shown, as_json)
    if not asked:
        raise click.ClickException("the bank was not asked: source disabled, a worker at it, or its limit spent")


def _find(connection: Connection, source: str, payment_id: str) -> Row[Any]:
    found = stored.find(connection, source, "payment", payment_id)
    if found is None:
        raise click.ClickException(f"there is no payment {payment_id!r} of {source!r}")
    return found


def _with_checks(connection: Connection, source: str, payment_id: str) -> dict[str, Any]:
    found = _find(connection, source, payment_id)
    return PaymentWithChecks.made(found, stored.checks_of(connection, found.id)).shown()


def _write(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(shown)
        return
    made = shown.pop("checks")
    write_fields(shown)
    click.echo()
    write_list(made, ["at", "outcome", "bank_status", "detail"], False, "The bank was not asked yet.")
