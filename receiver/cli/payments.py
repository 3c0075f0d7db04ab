"""`receiver payments`: what is known of each payment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, limit, pages, write_fields, write_json, write_list
from receiver.model import Agreement, NotFound, NotPossible, Status

if TYPE_CHECKING:
    from receiver.runtime import Runtime
    from receiver.store.payments import SubjectRecord


@click.group(cls=Group)
def payments() -> None:
    """Look at payments, and ask the bank about one."""


@payments.command("list")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(tuple(map(str, Status))), help="Repeatable.")
@click.option(
    "--agreement", "agreements", multiple=True, type=click.Choice(tuple(map(str, Agreement))), help="Repeatable."
)
@limit
@as_json
@as_csv
def list_payments(
    names: tuple[str, ...], statuses: tuple[str, ...], agreements: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """List payments, the latest known first."""
    from receiver.admin.names import Names
    from receiver.projection.projector import catch_up
    from receiver.store import payments as stored
    from receiver.web.schemas.payments import Payment

    runtime = migrated()
    catch_up(runtime.database)
    Names(runtime.database).check_all("source", names)

    def read(below: int | None, size: int) -> list[SubjectRecord]:
        with runtime.database.read() as connection:
            return stored.listing(
                connection, "payment", names=names, statuses=statuses, agreements=agreements, below=below, limit=size
            )

    rows = (Payment.of(row).shown() for row in pages(read, lambda row: row.id, limit))
    columns = ["source", "payment_id", "status", "agreement", "amount", "currency", "updated_at", "next_check_at"]
    write_list(rows, columns, as_json, "There is no such payment yet.")


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def show(source: str, payment_id: str, as_json: bool) -> None:
    """Show one payment with every check made."""
    _write(_with_checks(migrated(), source, payment_id), as_json)


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def check(source: str, payment_id: str, as_json: bool) -> None:
    """Ask the bank about one payment now, and show what is known then."""
    from receiver.admin import payments as acts

    runtime = migrated()
    try:
        acts.check(runtime, who(), source, payment_id)
    except NotPossible:
        _write(_with_checks(runtime, source, payment_id), as_json)
        raise
    _write(_with_checks(runtime, source, payment_id), as_json)


def _with_checks(runtime: Runtime, source: str, payment_id: str) -> dict[str, Any]:
    from receiver.projection.projector import catch_up
    from receiver.store import payments as stored
    from receiver.web.schemas.payments import PaymentWithChecks

    catch_up(runtime.database)
    with runtime.database.read() as connection:
        found = stored.find(connection, source, "payment", payment_id)
        if found is None:
            raise NotFound(f"there is no payment {payment_id!r} of {source!r}")
        return PaymentWithChecks.made(found, stored.checks_of(connection, found.id)).shown()


def _write(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(shown)
        return
    checks = shown.pop("checks")
    write_fields(shown)
    click.echo()
    write_list(checks, ["at", "outcome", "bank_status", "detail"], False, "The bank was not asked yet.")
