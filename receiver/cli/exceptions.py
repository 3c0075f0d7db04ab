"""`receiver exceptions`: what a person has to look at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, limit, pages, write_fields, write_json, write_list
from receiver.model import ExceptionKind, ExceptionState

if TYPE_CHECKING:
    from receiver.runtime import Runtime
    from receiver.store.exceptions import ExceptionRecord

STATES = tuple(map(str, ExceptionState))


@click.group(cls=Group)
def exceptions() -> None:
    """Look at what needs a person; acknowledge and resolve it."""


@exceptions.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice((*STATES, "any")),
    help="Repeatable; without it, what is open or acknowledged.",
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(tuple(map(str, ExceptionKind))), help="Repeatable.")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@limit
@as_json
@as_csv
def list_exceptions(
    states: Sequence[str], kinds: Sequence[str], names: Sequence[str], limit: int, as_json: bool
) -> None:
    """List what needs a person, the newest change first: what is open or acknowledged, unless a state is asked for."""
    from receiver.admin import exceptions as acts
    from receiver.admin.names import Names
    from receiver.store.exceptions import UNRESOLVED, Wanted
    from receiver.web.schemas.exceptions import StaffException

    runtime = migrated()
    Names(runtime.database).check_all("source", names)
    wanted = Wanted(() if "any" in states else states or UNRESOLVED, kinds, names)
    found = pages(
        lambda below, size: acts.listing(runtime, wanted, below=below, limit=size), lambda row: row.place, limit
    )
    rows = (StaffException.made(row, runtime).shown() for row in found)
    columns = ["id", "changed_at", "severity", "kind", "state", "source", "about", "subject", "amount", "currency"]
    none = "There is none of these." if states or kinds or names else "Nothing needs a person."
    write_list(rows, columns, as_json, none)


@exceptions.command()
@click.argument("exception_id")
@as_json
def show(exception_id: str, as_json: bool) -> None:
    """Show one of them."""
    from receiver.admin import exceptions as acts

    runtime = migrated()
    _write(runtime, acts.find(runtime, exception_id), as_json)


@exceptions.command()
@click.argument("exception_id")
@click.option("--note", help="For whoever looks next; it is stored in the audit log.")
@as_json
def acknowledge(exception_id: str, note: str | None, as_json: bool) -> None:
    """Say that you are at it."""
    from receiver.admin import exceptions as acts

    runtime = migrated()
    _write(runtime, acts.acknowledge(runtime, who(), exception_id, note), as_json)


@exceptions.command()
@click.argument("exception_id")
@click.option("--note", required=True, help="What was done; it is stored in the audit log.")
@as_json
def resolve(exception_id: str, note: str, as_json: bool) -> None:
    """Say that nothing is left to be done; it is opened anew where it is so once more."""
    from receiver.admin import exceptions as acts

    runtime = migrated()
    _write(runtime, acts.resolve(runtime, who(), exception_id, note), as_json)


def _write(runtime: "Runtime", found: "ExceptionRecord", as_json: bool) -> None:
    from receiver.web.schemas.exceptions import StaffException

    shown = StaffException.made(found, runtime).shown()
    if as_json:
        write_json(shown)
    else:
        write_fields(shown)
