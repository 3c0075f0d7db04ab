"""`receiver days`: business days, the bank's list against our events."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, TextIO

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import CSV, as_csv, as_json, limit, pages, write_fields, write_list
from receiver.model import DayCategory, DayState

if TYPE_CHECKING:
    from receiver.admin.days import Day
    from receiver.store.day_lines import DayLine as Line


class Date(click.ParamType[date]):
    """A day, such as 2026-01-31."""

    name = "date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read it."""
        from receiver.admin.days import a_day

        try:
            return a_day(str(value))
        except ValueError:
            self.fail(f"{value!r} is no day such as 2026-01-31", param, ctx)


@click.group(cls=Group)
def days() -> None:
    """Look at business days, the bank's list against our events; close one, and verify closed ones."""


@days.command("list")
@click.argument("source", required=False)
@limit
@as_json
@as_csv
def list_days(source: str | None, limit: int, as_json: bool) -> None:
    """List business days, the latest first: of all sources whose bank lists what it knows, or of one."""
    from receiver.admin import days as acts
    from receiver.admin.names import Names
    from receiver.web.schemas.days import DaySummary

    runtime = migrated()
    names = [] if source is None else [source]
    Names(runtime.database).check_all("source", names)
    found = pages(
        lambda below, size: acts.listing(runtime, names, below=below, limit=size),
        lambda day: (day.day, day.source.name),
        limit,
    )
    rows = (DaySummary.made(day).shown() for day in found)
    columns = ["date", "source", "state", "version", *map(str, DayCategory), "incomplete_until"]
    write_list(rows, columns, as_json, f"There is no day: {acts.NOT_OFFERED}." if source else "There is no day yet.")


@days.command()
@click.argument("source")
@click.argument("day", type=Date(), metavar="DATE")
@click.option("--version", type=click.IntRange(1), help="A version of a closed day; the latest one without.")
@click.option(
    "--category", "categories", multiple=True, type=click.Choice(tuple(map(str, DayCategory))), help="Repeatable."
)
@limit
@as_json
@as_csv
def show(source: str, day: date, version: int | None, categories: Sequence[str], limit: int, as_json: bool) -> None:
    """Show a business day with its lines, what differs first; all of them with --json or --csv.

    What --json writes of a closed day is the file that `receiver days verify --file` takes: always whole.
    """
    from receiver.admin import day_lines, day_verification
    from receiver.admin import days as acts
    from receiver.web.schemas.days import DayLine

    is_csv = click.get_current_context().meta.get(CSV)
    if as_json and (is_csv or categories):
        raise click.UsageError("--json writes all of a day: it takes neither --csv nor --category")
    runtime = migrated()
    found = acts.find_whole(runtime, source, day, version)
    if as_json:
        for part in day_verification.export(runtime, found):
            click.echo(part, nl=False)
        return
    chosen = [DayCategory(word) for word in categories]

    def numbered(below: int | None, size: int) -> list[tuple[int, "Line"]]:
        rows = day_lines.lines(runtime, found, chosen, place=below or 0, limit=size)
        return list(enumerate(rows, (below or 0) + 1))

    lines = (DayLine.of(line).shown() for _, line in pages(numbered, lambda row: row[0], limit))
    if not is_csv:
        _write_summary(found)
    columns = ["category", "payment_id", "direction", "amount", "currency", "status", "our_amount", "our_status", "why"]
    write_list(lines, columns, as_json, "It has no lines.")


def _write_summary(found: "Day") -> None:
    record = found.record
    write_fields(
        {
            "source": found.source.name,
            "day": found.day.isoformat(),
            "state": found.words if found.state != DayState.CLOSED else "closed",
            "begins_at": found.window.begin,
            "ends_at": found.window.end,
            "covered_until": found.covered_until,
            "version": f"{record.version} of {len(found.versions)}" if record else None,
            "closed_at": record.closed_at if record else None,
            "digest": record.digest if record else None,
            "detection": found.content.get("detection"),
        }
    )
    click.echo()
    rows = [{**each.__dict__, "category": str(each.category)} for each in found.counts]
    if rows:
        write_list(rows, ["category", "currency", "number", "bank_amount", "our_amount"], False, "")
        click.echo()


@days.command()
@click.argument("source")
@click.argument("day", type=Date(), metavar="DATE")
def close(source: str, day: date) -> None:
    """Close a business day now, without the delay; of one that is closed add a version where something has changed."""
    from receiver.admin import days as acts

    record, is_new = acts.close(migrated(), who(), source, day)
    so_far = "is closed in" if is_new else "has not changed since"
    click.echo(f"{day} of {source} {so_far} version {record.version}; its digest is {record.digest}.")


@days.command()
@click.argument("source", required=False)
@click.argument("day", type=Date(), metavar="[DATE]", required=False)
@click.option("--file", "file", type=click.File("r", encoding="utf-8"), help="What `days show --json` wrote.")
def verify(source: str | None, day: date | None, file: TextIO | None) -> None:
    """Check that closed days are as they were closed: all, those of a source, one day, or an exported file.

    A file is checked by RECEIVER_SECRET_KEYS alone.
    """
    from receiver.admin import day_verification
    from receiver.settings import load_settings

    if file is not None and source is not None:
        raise click.UsageError("--file and SOURCE exclude each other")
    try:
        if file is not None:
            header = day_verification.verify_file(load_settings(), file)
            click.echo(f"{header['day']} of {header['source']}, version {header['version']}, is as it was closed.")
        else:
            number = day_verification.verify(migrated(), source, day)
            click.echo(f"{number} versions of closed days are as they were closed.")
    except day_verification.DaysBroken as error:
        raise click.ClickException("\n".join(error.found)) from error
