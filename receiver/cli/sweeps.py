"""`receiver sweep`: what a bank knows is read from its own lists, so that nothing is missed that it never told."""

import sys
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.context import Group, Time, migrated, who
from receiver.cli.output import as_json, cell, in_rfc3339, write_fields, write_json, write_list

if TYPE_CHECKING:
    from receiver.admin.sweeps import SourceSweeps
    from receiver.reconcile.sweep import Progress
    from receiver.store.sweeps import SweepRecord


class DayOrTime(click.ParamType[date | datetime]):
    """A day of a bank's calendar, or a time with its zone (RFC 3339)."""

    name = "day|time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date | datetime:
        """Read it."""
        from receiver.admin.days import a_day

        if len(str(value)) == len("2026-01-31"):
            try:
                return a_day(str(value))
            except ValueError:
                self.fail(f"{value!r} is no day such as 2026-01-31", param, ctx)
        return Time().convert(value, param, ctx)


@click.group(cls=Group)
def sweep() -> None:
    """Read what banks know from their own lists; look at how far they were read."""


@sweep.command()
@click.argument("source")
@click.option("--from", "begin", type=DayOrTime(), required=True, help="From this day or time on.")
@click.option("--to", "end", type=DayOrTime(), help="Up to this day or time, which is not included; now without.")
@as_json
def run(source: str, begin: date | datetime, end: date | datetime | None, as_json: bool) -> None:
    """Read a span of all lists of a source's bank now, and recover what no callback has come for."""
    from receiver.admin import sweeps as acts
    from receiver.model import NotPossible

    runtime = migrated()
    try:
        window = acts.span(runtime, source, begin, end)
    except NotPossible as error:
        raise click.UsageError(str(error)) from error
    swept = asdict(acts.run(runtime, who(), source, window, _show if sys.stderr.isatty() else _say_nothing))
    if as_json:
        write_json(swept)
    else:
        write_fields(swept)


def _say_nothing(_: "Progress") -> None:
    """Say nothing: nobody looks."""


def _show(progress: "Progress") -> None:
    """Show at the terminal how far it has come, in one line."""
    name = cell(progress.list_name) or "its lists"
    click.echo(f"\r\033[K{name}: {progress.pages} pages, {progress.lines} lines", nl=False, err=True)
    if progress.lines and progress.list_name:
        click.echo(err=True)


@sweep.command()
@click.argument("source", required=False)
@as_json
def status(source: str | None, as_json: bool) -> None:
    """Show how far each list of each bank was read, when it is read next, and why it could not be."""
    from receiver.admin import sweeps as acts

    found = acts.status(migrated(), source)
    if as_json:
        write_json(in_rfc3339([_shown(each) for each in found]))
        return
    rows = [{"source": each.source, **row} for each in found for row in _rows(each)]
    write_list(rows, ["source", "list", "covered_until", "next_at", "error"], False, "There is no source.")
    for each in found:
        if each.recovered or each.waiting:
            click.echo(f"{each.source}: {each.recovered} recovered without a callback, {each.waiting} lines wait.")


def _shown(each: "SourceSweeps") -> dict[str, Any]:
    lists = [
        {
            "list": row.list_name,
            "covered_from": row.covered_from,
            "covered_until": row.covered_until,
            "last_read_at": row.last_read_at,
            "next_at": row.next_at,
            "error": row.error,
            "gone_at": row.gone_at,
        }
        for row in each.lists
    ]
    return asdict(each) | {"lists": lists}


def _rows(each: "SourceSweeps") -> list[dict[str, Any]]:
    if each.hindrance is not None or not each.lists:
        return [{"list": None, "error": each.hindrance or "not read yet: is a worker running?"}]
    return [
        {
            "list": row.list_name or "(its lists)",
            "covered_until": row.covered_until,
            "next_at": row.next_at,
            "error": row.error if row.gone_at is None else _gone(row),
        }
        for row in each.lists
    ]


def _gone(row: "SweepRecord") -> str:
    words = "the bank does not name it any more"
    if row.is_in_use:
        words += f", read until {in_rfc3339(row.gone_at)}"
    elif row.is_cut_off:
        words += ", left without its last reading"
    return f"{words}: {row.error}" if row.error else words
