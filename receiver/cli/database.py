"""`receiver db`: the tables."""

import click

from receiver import runtime
from receiver.settings import load_settings
from receiver.store import schema


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to the tables of this release; safe to repeat."""
    started = runtime.start(load_settings())
    before = schema.current_revision(started.database)
    schema.upgrade(started.database)
    after = schema.newest_revision()
    done = f"is at revision {after} already" if before == after else f"was migrated from {before or 'empty'} to {after}"
    click.echo(f"The database {done}.")
