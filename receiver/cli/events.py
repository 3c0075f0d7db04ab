"""`receiver events`: what the banks told us."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

from receiver.cli.context import Group, Time, migrated, who
from receiver.cli.output import (
    as_csv,
    as_json,
    cell,
    in_rfc3339,
    limit,
    most,
    reason,
    write_bytes,
    write_fields,
    write_json,
    write_list,
)
from receiver.model import Agreement, ProofStrength, Status

if TYPE_CHECKING:
    from receiver.runtime import Runtime

Command = TypeVar("Command", bound=Callable[..., Any])

POLL_SECONDS = 0.5

HOLDS_MAX = 10_000
"""Holds that are listed, the latest."""


@click.group(cls=Group)
def events() -> None:
    """Look at events."""


class Amount(click.ParamType[Decimal]):
    """An amount in plain digits."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it."""
        if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,10})?", str(value)):
            self.fail(f"{value!r} is no amount such as 1000.00", param, ctx)
        return Decimal(str(value))


def several(option: str, field: str, about: str, words: type[StrEnum] | None = None) -> Callable[[Command], Command]:
    """Make an option that may be given several times: any of the values will do."""
    kind = click.Choice([str(word) for word in words]) if words else None
    return click.option(option, field, multiple=True, type=kind, help=f"{about} Repeatable: any of them.")


@events.command("list")
@click.option(
    "--q",
    "question",
    default="",
    help="What is known: the beginning of an id, a reference, an account or a word of the text; or an amount.",
)
@several("--source", "source", "Only this source.")
@several("--type", "type", "Only this type, such as bcb.deposit.")
@several("--payment-id", "payment_id", "Only this payment.")
@several("--event-id", "event_id", "Only this event.")
@click.option("--amount-min", type=Amount(), help="Only of this amount or more, whatever its sign.")
@click.option("--amount-max", type=Amount(), help="Only of this amount or less, whatever its sign.")
@several("--currency", "currency", "Only in this currency.")
@several("--account", "account", "Only on this account, by its whole number; blanks do not count.")
@several("--reference", "reference", "Only with this reference, as a whole.")
@several("--status", "status", "Only those that claim this.", Status)
@several("--proof", "proof", "Only what was proven by this.", ProofStrength)
@several("--agreement", "agreement", "Only where the bank's answer stands so to what was claimed.", Agreement)
@click.option("--conflict/--no-conflict", default=None, help="Only those that came again with other content, or not.")
@click.option("--late/--no-late", default=None, help="Only those that came late and were confirmed afterwards, or not.")
@click.option("--after", "received_after", type=Time(), help="Only what was received at this time or later.")
@click.option("--before", "received_before", type=Time(), help="Only what was received before this time.")
@limit
@as_json
@as_csv
def list_events(limit: int, as_json: bool, **asked: Any) -> None:
    """List events, newest first: all, or those that fit all options. Of accounts the last four characters are shown."""
    from receiver.admin import search
    from receiver.admin.names import Names
    from receiver.store.search import Wanted
    from receiver.web.schemas.events import Event

    runtime = migrated()
    known = Names(runtime.database)
    known.check_all("source", asked["source"])
    known.check_all("event type", asked["type"])
    found = search.pages(runtime, Wanted(**asked), limit=most(limit))
    rows = (Event.of(search.masked(event)).shown() for page in found for event in page.events)
    columns = ["id", "received_at", "source", "type", "subject", "claimed_status", "amount", "currency"]
    write_list(rows, columns, as_json, "There is no such event.")
    if older_left := search.older_left(runtime, Wanted(**asked)):
        click.echo(f"Not searched yet: about {older_left} events of before the upgrade.", err=True)


@events.command()
@click.argument("event_id")
@as_json
def show(event_id: str, as_json: bool) -> None:
    """Show one event with its timeline: who sent it, what the bank says, who read it and who did something to it."""
    from receiver.web.schemas.events import EventWithTimeline

    shown = EventWithTimeline.find(migrated(), event_id).shown()
    if as_json:
        write_json(shown)
        return
    timeline, exceptions = shown.pop("timeline"), shown.pop("exceptions")
    write_fields(shown)
    if exceptions:
        click.echo()
        write_list(exceptions, ["id", "kind", "state", "severity", "changed_at", "detail", "note"], False, "")
    click.echo()
    steps = [
        {name: step.pop(name) for name in ("at", "what", "words")}
        | {"detail": {key: value for key, value in step.items() if value}}
        for step in timeline
    ]
    write_list(steps, ["at", "what", "words", "detail"], False, "")


@events.command()
@click.argument("event_id")
@reason
def raw(event_id: str, reason: str | None) -> None:
    """Write the bytes that the bank sent to standard output; the audit log notes it."""
    from receiver.admin import events as acts

    write_bytes(acts.raw(migrated(), who(), event_id, reason))


@events.command()
@click.argument("event_id")
@reason
def payload(event_id: str, reason: str | None) -> None:
    """Write the notification that told an event, decrypted, as JSON to standard output; the audit log notes it."""
    from receiver.admin import events as acts

    write_bytes(f"{acts.payload(migrated(), who(), event_id, reason)}\n".encode())


@events.command("evidence")
@click.argument("event_id")
@as_json
def take_evidence(event_id: str, as_json: bool) -> None:
    """Write the evidence packet of an event as Markdown to standard output; the audit log notes it."""
    from receiver.admin import evidence

    packed = evidence.packet(migrated(), who(), event_id)
    if as_json:
        write_json(packed)
    else:
        write_bytes(evidence.markdown(packed).encode())


@events.command()
@click.argument("event_id", required=False)
@click.option("--reason", help="Why; it is stored with the hold and in the audit log.")
@click.option("--release", is_flag=True, help="End the hold.")
@as_json
def hold(event_id: str | None, reason: str | None, release: bool, as_json: bool) -> None:
    """Hold an event, so that nothing of it is removed; without one, list what is on hold."""
    from receiver.admin import events as acts
    from receiver.store import holds

    runtime = migrated()
    if event_id is None:
        if reason is not None or release:
            raise click.UsageError("name the event")
        with runtime.database.read() as connection:
            found = [in_rfc3339(each._asdict()) for each in holds.listing(connection, limit=HOLDS_MAX)]
        write_list(found, ["event_id", "held_at", "held_by", "reason"], as_json, "Nothing is on hold.")
        return
    if not release and reason is None:
        raise click.UsageError("--reason is needed to hold an event")
    if release:
        event = acts.release(runtime, who(), event_id, reason)
    else:
        event = acts.hold(runtime, who(), event_id, reason or "")
    if as_json:
        write_json({"event_id": event.id, "on_hold": event.on_hold})
    else:
        click.echo(f"The event {event.id} is {'on hold' if event.on_hold else 'released'}.")


@events.command()
@click.option("--from-start", is_flag=True, help="Begin with the oldest entry, not with what comes next.")
@as_json
def tail(from_start: bool, as_json: bool) -> None:
    """Follow the feed until Ctrl-C: a line an entry."""
    from receiver.projection.projector import catch_up

    runtime = migrated()
    after = None if from_start else catch_up(runtime.database)
    with suppress(KeyboardInterrupt):
        _follow(runtime, after, as_json)


def _follow(runtime: Runtime, after: int | None, as_json: bool) -> None:
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
