"""`receiver db`: the tables."""

from pathlib import Path

import click

from receiver.cli.context import Group, migrated, who


@click.group(cls=Group)
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to the tables of this release; safe to repeat."""
    from alembic.util import CommandError

    from receiver import runtime
    from receiver.settings import load_settings
    from receiver.store import schema

    started = runtime.start(load_settings())
    click.get_current_context().call_on_close(started.database.close)
    before = schema.current_revision(started.database)
    try:
        schema.upgrade(started.database, started.encryption)
    except CommandError as error:
        raise click.ClickException(f"the database is at revision {before}, which this release does not know") from error
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
