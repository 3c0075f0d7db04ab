"""`receiver rehearse`: a day in minutes against a throw-away receiver, with faults amid it, and a report."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.context import Command
from receiver.cli.output import as_json as json_option
from receiver.cli.output import write_json
from receiver.model import ReceiverError

if TYPE_CHECKING:
    from receiver.rehearse.day import Day
    from receiver.rehearse.faults import Fault

CALLBACKS_PER_MINUTE = 600
DAY_FORMAT = "%Y-%m-%d"


class Minutes(click.FloatRange):
    """A range that has no place for what is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number", param, ctx)
        return found


def _faults(ctx: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> list[Fault]:
    from receiver.rehearse.faults import Fault

    try:
        return [Fault.parse(text) for text in texts]
    except ValueError as error:
        raise click.UsageError(f"--fault takes KIND or KIND@HH:MM: {error}", ctx) from None


def _url(ctx: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """Read a database's URL, which has to be on this machine; a password is taken from standard input alone."""
    from receiver.admin import database

    name = parameter.opts[0]
    if url == "-":
        url = sys.stdin.readline().strip()
    elif url is not None and database.has_password(url):
        raise click.UsageError(
            f"a password on the command line can be seen by others: give {name} - and type the URL", ctx
        )
    if url is not None:
        from receiver.rehearse import databases

        try:
            databases.local_url(url)
        except databases.NoDatabaseUrl as error:
            raise click.UsageError(f"{name}: {error}", ctx) from None
    return url


@click.command(cls=Command)
@click.option("--minutes", type=Minutes(0.1, 1440), default=5.0, show_default=True, help="How long the day takes.")
@click.option(
    "--callbacks",
    type=click.IntRange(1, 10_000_000),
    show_default=f"{CALLBACKS_PER_MINUTE} a minute",
    help="How many a made-up day has.",
)
@click.option("--from-database", "captured_url", metavar="URL", callback=_url, help="Take the day from this database.")
@click.option("--day", type=click.DateTime([DAY_FORMAT]), help="Which day to take from it (UTC), as 2026-01-31.")
@click.option("--source", "names", multiple=True, help="Only this source of it; repeatable.")
@click.option(
    "--database",
    type=click.Choice(["sqlite", "postgresql"]),
    default="sqlite",
    show_default=True,
    help="What the throw-away receiver writes to.",
)
@click.option(
    "--database-url", metavar="URL", callback=_url, help="The PostgreSQL, on this machine, in which to make a database."
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, writable=True, resolve_path=True, path_type=Path),
    help="Where the SQLite file lies meanwhile: a folder on the disk that is to be tried.",
)
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="That answer requests.")
@click.option("--fault", "faults", multiple=True, metavar="KIND[@HH:MM]", callback=_faults, help="A fault; repeatable.")
@click.option("--all-faults/--no-faults", "has_all", default=None, help="One of each kind, or none (without --fault).")
@click.option("--seed", type=int, default=0, show_default=True, help="The same makes the same day.")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="The report's folder.",
    show_default="rehearsal-DATE-TIME",
)
@json_option
def rehearse(
    minutes: float,
    callbacks: int | None,
    captured_url: str | None,
    day: Any,
    names: tuple[str, ...],
    database: str,
    database_url: str | None,
    folder: Path | None,
    processes: int,
    faults: list[Fault],
    has_all: bool | None,
    seed: int,
    to: Path | None,
    as_json: bool,
) -> None:
    """Rehearse a day in minutes: callbacks and faults against a throw-away receiver on this machine, and a report."""
    from receiver.rehearse import databases, rehearsal, report
    from receiver.rehearse.faults import all_faults
    from receiver.server import throwaway
    from receiver.simulator import require_installed

    if (database == "postgresql") != (database_url is not None):
        raise click.UsageError("--database postgresql and --database-url go together: give both or neither")
    if folder is not None and database != "sqlite":
        raise click.UsageError("--folder is for SQLite: a PostgreSQL writes where it always does")
    if has_all is not None and faults:
        raise click.UsageError("--fault names the faults: leave --all-faults and --no-faults out")
    require_installed()
    throwaway.forget_others()
    if database_url is not None:
        database_url = databases.local_url(database_url)
    taken = _day(captured_url, day.date() if day else None, names, callbacks, minutes, seed)
    chosen = faults or (all_faults() if has_all is not False else [])
    plan = rehearsal.Plan(taken, minutes * 60, chosen, database_url, folder, processes, seed)
    to = to or Path(time.strftime("rehearsal-%Y%m%d-%H%M%S"))
    is_new = _make_writable(to)
    click.echo(f"{taken.about}, in {minutes:g} minutes, on {database}, with {len(chosen)} faults", err=True)
    try:
        outcome = _run(plan)
    except ReceiverError:
        # It has not begun, and there is nothing to report; what was there before stays.
        if is_new:
            with suppress(OSError):
                to.rmdir()
        raise
    try:
        found = report.write(outcome, to)
    except OSError as error:
        outcome.wrong.append(f"the report could not be written to {str(to)!a}: {error.strerror}")
        found = report.summary(outcome)
    if as_json:
        write_json(found)
    else:
        _tell(found)
    click.echo(f"The report is {to / 'report.html'}, and report.json beside it.", err=True)
    for line in found["wrong"]:
        click.echo(f"Error: {line}", err=True)
    sys.exit(1 if found["wrong"] else 0)


def _make_writable(folder: Path) -> bool:
    """Make the report's folder where there is none, before anything runs; tell whether it was made.

    Raises:
        UsageError: nothing can be written there.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise click.UsageError(f"--to: nothing can be written to {str(folder)!a}: {error.strerror}") from None
    return is_new


def _day(
    url: str | None, day: date | None, names: tuple[str, ...], callbacks: int | None, minutes: float, seed: int
) -> Day:
    from receiver.rehearse import day as days

    if url is None:
        if day is not None or names:
            raise click.UsageError("--day and --source are about a captured day: give --from-database")
        return days.made_up(callbacks or max(1, int(minutes * CALLBACKS_PER_MINUTE)), seed=seed)
    if day is None:
        raise click.UsageError("--from-database needs --day")
    if callbacks is not None:
        raise click.UsageError("--callbacks is for a made-up day: a captured one has as many as it had")
    return days.captured(url, day, names)


def _run(plan: Any) -> Any:
    from receiver.rehearse import rehearsal

    outcome = None
    try:
        with click.progressbar(
            length=int(plan.seconds), file=sys.stderr, show_pos=True, item_show_func=lambda what: what
        ) as bar:

            def progress(at: float, what: str) -> None:
                # The terminal may be closed meanwhile.
                with suppress(OSError):
                    bar.update(min(int(at), int(plan.seconds)) - bar.pos, what)

            outcome = rehearsal.run(plan, progress)
    except OSError:
        if outcome is None:
            raise
    return outcome


def _tell(found: dict[str, Any]) -> None:
    """Write the main figures."""
    callbacks, times = found["callbacks"], found["answers"]["milliseconds"]
    click.echo(
        f"{callbacks['taken']} of {callbacks['genuine']} callbacks taken, {callbacks['recovered']} put off first"
    )
    click.echo(f"{found['lost']['number']} lost, {found['doubled']['number']} doubled")
    click.echo(
        f"answered in {times['p50']} ms (half of them), {times['p99']} ms (99 of 100), {times['slowest']} ms (all)"
    )
    for each in found["faults"]:
        click.echo(f"{each['at']} {each['kind']}: {each['state']}: {each['said']}")
    left = [f"{'unknown' if number is None else number} {what}" for what, number in found["left_open"].items()]
    click.echo(f"{', '.join(left) or 'nothing'} stayed open")
