"""`receiver payments` and `receiver jobs`: what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, limit, pages, write_fields, write_json, write_list
from receiver.model import Agreement, NotFound, NotPossible, Status, SubjectKind

if TYPE_CHECKING:
    from receiver.runtime import Runtime
    from receiver.store.payments import SubjectRecord


Command = TypeVar("Command", bound=Callable[..., Any])


def narrowed(command: Command) -> Command:
    """Give a list of payments or jobs the options that narrow it."""
    options = (
        click.option("--source", "names", multiple=True, help="Only this source; repeatable."),
        click.option("--status", "statuses", multiple=True, type=click.Choice([*map(str, Status)]), help="Repeatable."),
        click.option(
            "--agreement", "agreements", multiple=True, type=click.Choice([*map(str, Agreement)]), help="Repeatable."
        ),
        click.option(
            "--stalled/--no-stalled",
            default=None,
            help="Only those that have not come to an end for too long, or only the others.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Group)
def payments() -> None:
    """Look at payments, and ask the bank about one."""


@payments.command("list")
@narrowed
@limit
@as_json
@as_csv
def list_payments(limit: int, as_json: bool, **asked: Any) -> None:
    """List payments, the latest known first."""
    from receiver.admin import payments as acts
    from receiver.web.schemas.payments import Payment

    runtime = migrated()
    found = _listed(runtime, SubjectKind.PAYMENT, limit, **asked)
    following = acts.next_checks(runtime)
    rows = (Payment.listed(row, made, following(row)).shown() for row, made in acts.each_with_checks(runtime, found))
    columns = ["source", "payment_id", "status", "agreement", "amount", "currency", "updated_at", "next_check_at"]
    write_list(rows, columns, as_json, "There is no such payment yet.")


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def show(source: str, payment_id: str, as_json: bool) -> None:
    """Show one payment with every check made."""
    _show(migrated(), source, payment_id, SubjectKind.PAYMENT, as_json)


@payments.command()
@click.argument("source")
@click.argument("payment_id")
@as_json
def check(source: str, payment_id: str, as_json: bool) -> None:
    """Ask the bank about one payment now, also about one that no callback named, and show what is known then."""
    _check(source, payment_id, SubjectKind.PAYMENT, as_json)


@click.group(cls=Group)
def jobs() -> None:
    """Look at jobs, and ask the bank about one."""


@jobs.command("list")
@narrowed
@limit
@as_json
@as_csv
def list_jobs(limit: int, as_json: bool, **asked: Any) -> None:
    """List jobs, the latest known first."""
    from receiver.admin import payments as acts
    from receiver.web.schemas.payments import Job

    runtime = migrated()
    following = acts.next_checks(runtime)
    found = _listed(runtime, SubjectKind.JOB, limit, **asked)
    rows = (Job.listed(row, following(row)).shown() for row in found)
    columns = ["source", "job_id", "status", "bank_status", "agreement", "updated_at", "next_check_at"]
    write_list(rows, columns, as_json, "There is no such job yet.")


@jobs.command("show")
@click.argument("source")
@click.argument("job_id")
@as_json
def show_job(source: str, job_id: str, as_json: bool) -> None:
    """Show one job with every item and every check made."""
    _show(migrated(), source, job_id, SubjectKind.JOB, as_json)


@jobs.command("check")
@click.argument("source")
@click.argument("job_id")
@as_json
def check_job(source: str, job_id: str, as_json: bool) -> None:
    """Ask the bank about one job now, also about one whose callback never came, and show what is known then."""
    _check(source, job_id, SubjectKind.JOB, as_json)


def _listed(
    runtime: Runtime, kind: SubjectKind, limit: int, *, names: Sequence[str], **asked: Any
) -> Iterator[SubjectRecord]:
    """Go through payments or jobs, page by page; `asked` are the other options of `narrowed`."""
    from receiver.admin import payments as acts
    from receiver.admin.names import Names

    Names(runtime.database).check_all("source", names)

    def read(below: int | None, size: int) -> list[SubjectRecord]:
        return acts.listing(runtime, kind, names=names, below=below, limit=size, **asked)

    return pages(read, lambda row: row.id, limit)


def _check(source: str, subject: str, kind: SubjectKind, as_json: bool) -> None:
    from receiver.admin import payments as acts

    runtime = migrated()
    try:
        acts.check(runtime, who(), source, subject, kind)
    except NotPossible:
        with suppress(NotFound):
            _show(runtime, source, subject, kind, as_json)
        raise
    _show(runtime, source, subject, kind, as_json)


def _show(runtime: Runtime, source: str, subject: str, kind: SubjectKind, as_json: bool) -> None:
    from receiver.admin import payments as acts
    from receiver.web.schemas.payments import JobWithItems, PaymentInFull

    model = JobWithItems if kind == SubjectKind.JOB else PaymentInFull
    shown = model.made(*acts.with_checks(runtime, source, subject, kind)).shown()
    if as_json:
        write_json(shown)
        return
    checks, items = shown.pop("checks"), shown.pop("items", [])
    write_fields(shown)
    if items:
        click.echo()
        write_list(items, ["index", "status", "http_status", "error", "result"], False, "")
    click.echo()
    write_list(checks, ["at", "outcome", "bank_status", "detail"], False, "The bank was not asked yet.")
