"""`receiver replay`: send again what apps missed, ask the bank again, verify rejected deliveries again."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from receiver.cli.context import Group, Time, migrated, who
from receiver.cli.output import as_csv, as_json, write_fields, write_json, write_list
from receiver.model import ReplayState, ReplayTarget

if TYPE_CHECKING:
    from receiver.runtime import Runtime


POLL_SECONDS = 0.3


def _question(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse a question that restricts nothing, such as an empty variable of a shell."""
    from receiver.admin.replays import ASKS_NOTHING
    from receiver.store.search_questions import is_blank

    if value is not None and is_blank(value):
        raise click.BadParameter(ASKS_NOTHING)
    return value


@click.group(cls=Group)
def replay() -> None:
    """Plan, run and watch replays."""


@replay.command()
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--type", "types", multiple=True, help="Only this type, such as bcb.deposit; repeatable.")
@click.option("--payment-id", "payment_ids", multiple=True, help="Only this payment; repeatable.")
@click.option("--event-id", "event_ids", multiple=True, help="Only what stems from this event; repeatable.")
@click.option(
    "--delivery-id",
    "delivery_ids",
    multiple=True,
    help="Only this rejected delivery (target verification); repeatable.",
)
@click.option(
    "--q",
    "question",
    callback=_question,
    help="All that this search finds, as `receiver events list --q` takes it.",
)
@click.option("--after", type=Time(), help="Only what was received at this time or later.")
@click.option("--before", type=Time(), help="Only what was received before this time.")
@click.option(
    "--target",
    type=click.Choice(tuple(map(str, ReplayTarget))),
    default="feed",
    show_default=True,
    help="Where to send it again.",
)
@click.option("--consumer", help="To this consumer alone.")
@click.option("--rate", type=click.FloatRange(0.01, 10_000), help="At most so many a second.")
@click.option("--reason", required=True, help="Why; it is kept in the audit log.")
@as_json
def plan(
    names: tuple[str, ...],
    types: tuple[str, ...],
    payment_ids: tuple[str, ...],
    event_ids: tuple[str, ...],
    delivery_ids: tuple[str, ...],
    question: str | None,
    after: datetime | None,
    before: datetime | None,
    target: str,
    consumer: str | None,
    rate: float | None,
    reason: str,
    as_json: bool,
) -> None:
    """Say what a replay would come to, and write the plan that `replay run` takes."""
    from receiver.admin import replays as acts
    from receiver.admin.names import Names
    from receiver.replay.plan import Request
    from receiver.store import sources
    from receiver.store.replay_selection import Selection
    from receiver.store.search import Wanted
    from receiver.web.schemas.replays import Plan

    runtime = migrated()
    known = Names(runtime.database)
    known.check_all("source", names)
    known.check_all("entry type", types)
    known.check_all("consumer", [consumer] if consumer is not None else [])
    selection = Selection(names, types, payment_ids, event_ids, delivery_ids, after, before)
    request = Request(selection, reason, target, consumer, rate)
    if question is not None:
        wanted = Wanted(question, names, types, payment_ids, event_ids, received_after=after, received_before=before)
        made = acts.plan_found(runtime, wanted, request)
    else:
        made = acts.plan(runtime, request)
    with runtime.database.read() as connection:
        shown = Plan.made(made, sources.names(connection)).shown()
    if as_json:
        write_json(shown)
        return
    token, sample, notes = shown.pop("plan"), shown.pop("sample"), shown.pop("notes")
    write_fields(shown)
    for note in notes:
        click.echo(note, err=True)
    click.echo()
    write_list(sample, ["time", "source", "type", "subject"], False, "Nothing matches.")
    click.echo(f"\nTo run exactly this:\n  receiver replay run {token}")


@replay.command()
@click.argument("plan")
@click.option("--wait", is_flag=True, help="Show the progress until it is over (a worker must be running).")
@as_json
def run(plan: str, wait: bool, as_json: bool) -> None:
    """Run a plan; `receiver worker` does the work. A large one waits until somebody else approves it."""
    from receiver.admin import replays as acts

    runtime = migrated()
    started = acts.start(runtime, who(), plan)
    if started.state == ReplayState.AWAITING_APPROVAL:
        above = runtime.settings.replay_approval_above
        click.echo(
            f"More than {above}: somebody else has to approve it, by `receiver replay approve {started.id}`.", err=True
        )
    if wait:
        _watch(runtime, started.id, started.total)
    _show(runtime, started.id, as_json)


def _watch(runtime: Runtime, replay_id: str, total: int) -> None:
    from receiver.admin import replays as acts

    found = acts.find(runtime, replay_id)
    with click.progressbar(length=total, label=replay_id, file=sys.stderr) as bar:
        while not found.state.is_over:
            time.sleep(POLL_SECONDS)
            found = acts.find(runtime, replay_id)
            bar.update(found.done - bar.pos)


@replay.command()
@click.argument("replay_id", required=False)
@as_json
@as_csv
def status(replay_id: str | None, as_json: bool) -> None:
    """Show how far one replay has come, or list the latest."""
    from receiver.admin import replays as acts
    from receiver.web.schemas.replays import Replay

    runtime = migrated()
    if replay_id is not None:
        _show(runtime, replay_id, as_json)
        return
    rows = [Replay.of(row).shown() for row in acts.listing(runtime, limit=20)]
    columns = ["id", "state", "target", "matched", "done", "failed", "missing", "requested_by", "reason"]
    write_list(rows, columns, as_json, "There was no replay yet.")


@replay.command()
@click.argument("replay_id")
def cancel(replay_id: str) -> None:
    """Stop a replay; what it has sent stays sent."""
    from receiver.admin import replays as acts

    acts.cancel(migrated(), who(), replay_id)
    click.echo(f"Replay {replay_id} is cancelled.")


@replay.command()
@click.argument("replay_id")
def approve(replay_id: str) -> None:
    """Start a large replay that somebody else has asked for."""
    from receiver.admin import replays as acts

    found = acts.approve(migrated(), who(), replay_id)
    click.echo(f"Replay {replay_id} is approved: {found.total} will be sent again.")


@replay.command()
@click.argument("replay_id")
def pause(replay_id: str) -> None:
    """Stop a running replay until it is resumed."""
    from receiver.admin import replays as acts

    found = acts.pause(migrated(), who(), replay_id)
    click.echo(f"Replay {replay_id} is paused at {found.done} of {found.total}.")


@replay.command()
@click.argument("replay_id")
def resume(replay_id: str) -> None:
    """Let a paused replay go on."""
    from receiver.admin import replays as acts

    acts.resume(migrated(), who(), replay_id)
    click.echo(f"Replay {replay_id} goes on.")


def _show(runtime: Runtime, replay_id: str, as_json: bool) -> None:
    from receiver.admin import replays as acts
    from receiver.web.schemas.replays import Replay

    shown = Replay.of(acts.find(runtime, replay_id)).shown()
    write_json(shown) if as_json else write_fields(shown)
