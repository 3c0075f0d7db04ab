"""`receiver events`: what the banks told us."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from receiver.cli.context import migrated, who
from receiver.cli.output import as_json, cell, limit, write_fields, write_json, write_list

if TYPE_CHECKING:
    from receiver.runtime import Runtime


POLL_SECONDS = 0.5


@click.group()
def events() -> None:
    """Look at events."""


@events.command("list")
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--type", "kind", help="Only this type, such as bcb.deposit.")
@click.option("--payment-id", help="Only this payment.")
@click.option("--late", is_flag=True, help="Only those that came late and were confirmed afterwards.")
@limit
@as_json
def list_events(
    names: tuple[str, ...], kind: str | None, payment_id: str | None, late: bool, limit: int, as_json: bool
) -> None:
    """List events, newest first."""
    from receiver.store import events as stored
    from receiver.store.events import Filter
    from receiver.web.schemas.events import Event

    runtime = migrated()
    wanted = Filter(sources=names, type=kind, payment_id=payment_id, late=late or None)
    with runtime.database.read() as connection:
        rows = [Event.of(row).shown() for row in stored.listing(connection, wanted, below=None, limit=limit)]
    columns = ["id", "received_at", "source", "type", "subject", "claimed_status", "amount", "currency"]
    write_list(rows, columns, as_json, "There is no such event yet.")


@events.command()
@click.argument("event_id")
@as_json
def show(event_id: str, as_json: bool) -> None:
    """Show one event with its timeline."""
    from receiver.web.schemas.events import EventWithTimeline

    runtime = migrated()
    found = EventWithTimeline.find(runtime.database, event_id)
    if found is None:
        raise click.ClickException(f"there is no event {event_id!r}")
    shown = found.shown()
    if as_json:
        write_json(shown)
        return
    timeline = shown.pop("timeline")
    write_fields(shown)
    click.echo()
    steps = [
        {"at": step.pop("at"), "what": step.pop("what"), "detail": {key: value for key, value in step.items() if value}}
        for step in timeline
    ]
    write_list(steps, ["at", "what", "detail"], False, "")


@events.command()
@click.argument("event_id")
def raw(event_id: str) -> None:
    """Write the bytes that the bank sent to standard output; the audit log notes it."""
    from receiver.admin import events as acts

    found = acts.raw(migrated(), who(), event_id)
    if sys.stdout.isatty():
        # Only a program gets the bytes as they are; at a terminal they could steer it.
        click.echo("\n".join(cell(line) for line in found.decode("utf-8", "replace").splitlines()))
    else:
        sys.stdout.buffer.write(found)


@events.command()
@click.option("--from-start", is_flag=True, help="Begin with the oldest entry, not with what comes next.")
@as_json
def tail(from_start: bool, as_json: bool) -> None:
    """Follow the feed until Ctrl-C: a line an entry."""
    from receiver.projection.projector import catch_up

    runtime = migrated()
    after = 0 if from_start else catch_up(runtime.database)
    with suppress(KeyboardInterrupt):
        _follow(runtime, after, as_json)


def _follow(runtime: Runtime, after: int, as_json: bool) -> None:
    from receiver.projection.projector import catch_up
    from receiver.store import feed
    from receiver.web.schemas.feed import cloud_event

    while True:
        catch_up(runtime.database)
        with runtime.database.read() as connection:
            page = feed.read(connection, after=after, limit=500)
        for entry in page.entries:
            shown = cloud_event(entry)
            columns = (shown["time"], entry.type, entry.source, entry.subject)
            click.echo(json.dumps(shown) if as_json else "  ".join(map(cell, columns)))
        after = page.through
        if not page.has_more:
            time.sleep(POLL_SECONDS)
