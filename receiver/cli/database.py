"""`receiver db`: the tables; whether they are whole; a copy of them."""

import sys
from pathlib import Path

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_json, write_json


@click.group(cls=Group)
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to the tables of this release; safe to repeat."""
    from receiver import runtime
    from receiver.settings import load_settings
    from receiver.store import schema

    with runtime.naming_database():
        started = runtime.start(load_settings())
        click.get_current_context().call_on_close(started.database.close)
        before = schema.current_revision(started.database)
        schema.upgrade(started.database, started.encryption)
    after = schema.newest_revision()
    done = f"is at revision {after} already" if before == after else f"was migrated from {before or 'empty'} to {after}"
    click.echo(f"The database {done}.")


@db.command()
@click.argument("to", type=click.Path(dir_okay=False, path_type=Path))
def backup(to: Path) -> None:
    """Copy a SQLite database to a file, while it is written to. For PostgreSQL, use pg_dump."""
    from receiver.admin import database

    made = database.backup(migrated(), who(), to)
    click.echo(f"Wrote {to} ({made.size} bytes). Keep RECEIVER_SECRET_KEYS with it, apart: it can't be read without.")
    if not made.is_audited:
        click.echo("The database can't be written, so the audit log does not name this copy.", err=True)


@db.command()
@as_json
def check(as_json: bool) -> None:
    """Look whether the database is whole: storage, references, the feed's positions, the audit log, closed days."""
    from receiver.admin import database

    found = []
    for checked in database.check(migrated()):
        found.append(checked)
        if not as_json:
            click.echo(f"{'fail' if checked.faults else 'ok':<5} {checked.what}")
            for fault in checked.faults:
                click.echo(f"      {fault}")
    if as_json:
        write_json([{"what": each.what, "ok": not each.faults, "faults": list(each.faults)} for each in found])
    wrong = [each.what for each in found if each.faults]
    if wrong:
        raise click.ClickException(f"something is wrong: {', '.join(wrong)}")


@db.command()
@click.option("--to", "url", required=True, metavar="URL", help="The empty database; - reads it from standard input.")
def copy(url: str) -> None:
    """Copy everything into an empty database, such as from SQLite to PostgreSQL; stop the receiver first."""
    from receiver.admin import database
    from receiver.store import copying

    if url == "-":
        url = sys.stdin.readline().strip()
    elif database.has_password(url):
        raise click.UsageError("a password on the command line can be seen by others: give --to - and type the URL")
    runtime = migrated()
    target = database.target_of(url)
    click.get_current_context().call_on_close(target.close)
    tables: dict[str, copying.Copied] = {}
    for copied in database.copy(runtime, who(), target):
        tables[copied.table] = copied
        if copied.is_whole and copied.rows:
            click.echo(f"{copied.table}: {copied.rows}", err=True)
    rows = sum(each.rows for each in tables.values())
    click.echo(f"Copied {rows} rows of {len(tables)} tables; numbers and digests are the same.")
    click.echo("Looking whether anything was written meanwhile", err=True)
    if later := copying.later(runtime.database, tables):
        words = ", ".join(f"{number:+} {name}" if number else f"changes in {name}" for name, number in later.items())
        raise click.ClickException(f"the receiver went on writing ({words}): stop it, and copy anew into an empty one")
    click.echo("Set RECEIVER_DATABASE_URL to it, leave RECEIVER_SECRET_KEYS as they are, and start.")
