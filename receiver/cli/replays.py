"""`receiver replay`: send again what apps missed, ask the bank again, verify rejected deliveries again."""

import sys
import time
from datetime import UTC, datetime

import click

from receiver.admin import replays as acts
from receiver.cli.context import migrated, who
from receiver.cli.output import as_json, write_fields, write_json, write_list
from receiver.replay.plan import TARGETS, Request
from receiver.runtime import Runtime
from receiver.store import replays, sources
from receiver.store.replays import Selection
from receiver.web.schemas.replays import Plan, Replay

POLL_SECONDS = 0.3


class Time(click.ParamType[datetime]):
    """A time with its zone (RFC 3339)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        try:
            found = datetime.fromisoformat(str(value))
            found.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no zone; write it like 2026-01-31T12:00:00Z", param, ctx)
        return found


@click.group()
def replay() -> None:
    """Plan, run and watch replays."""


@replay.command()
@click.option("--source", "names", multiple=True, help="Only this source; repeatable.")
@click.option("--type", "kind", help="Only this type, such as bcb.deposit.")
@click.option("--payment-id", help="Only this payment.")
@click.option("--event-id", help="Only what stems from this event.")
@click.option("--delivery-id", help="Only this rejected delivery (target verification).")
@click.option("--after", type=Time(), help="Only what was received at this time or later.")
@click.option("--before", type=Time(), help="Only what was received before this time.")
@click.option("--target", type=click.Choice(TARGETS), default="feed", show_default=True, help="Where to send it again.")
@click.option("--consumer", help="To this consumer alone.")
@click.option("--rate", type=click.FloatRange(0.01, 10_000), help="At most so many a second.")
@click.option("--reason", required=True, help="Why; it is kept in the audit log.")
@as_json
def plan(
    names: tuple[str, ...],
    kind: str | None,
    payment_id: str | None,
    event_id: str | None,
    delivery_id: str | None,
    after: datetime | None,
    before: datetime | None,
    target: str,
    consumer: str | None,
    rate: float | None,
    reason: str,
    as_json: bool,
) -> None:
    """Say what a replay would come to, and write the plan that `replay run` takes."""
    runtime = migrated()
    selection = Selection(names, kind, payment_id, event_id, delivery_id, after, before)
    made = acts.plan(runtime, Request(selection, reason, target, consumer, rate))
    with runtime.database.read() as connection:
        shown = Plan.made(made, sources.names(connection)).shown()
    if as_json:
        write_json(shown)
        return
    token, sample = shown.pop("plan"), shown.pop("sample")
    write_fields(shown)
    click.echo()
    write_list(sample, ["time", "source", "type", "subject"], False, "Nothing matches.")
    click.echo(f"\nTo run exactly this:\n  receiver replay run {token}")


@replay.command()
@click.argument("plan")
@click.option("--wait", is_flag=True, help="Show the progress until it is over (a worker must be running).")
@as_json
def run(plan: str, wait: bool, as_json: bool) -> None:
    """Run a plan; `receiver worker` does the work."""
    runtime = migrated()
    started = acts.start(runtime, who(), plan)
    if wait:
        _watch(runtime, started.id, started.total)
    _show(runtime, started.id, as_json)


def _watch(runtime: Runtime, replay_id: str, total: int) -> None:
    found = acts.find(runtime, replay_id)
    with click.progressbar(length=total, label=replay_id, file=sys.stderr) as bar:
        while found.state == "running":
            time.sleep(POLL_SECONDS)
            found = acts.find(runtime, replay_id)
            bar.update(found.done - bar.pos)


@replay.command()
@click.argument("replay_id", required=False)
@as_json
def status(replay_id: str | None, as_json: bool) -> None:
    """Show how far one replay has come, or list the latest."""
    runtime = migrated()
    if replay_id is not None:
        _show(runtime, replay_id, as_json)
        return
    with runtime.database.read() as connection:
        rows = [Replay.of(row).shown() for row in replays.listing(connection, limit=20)]
    columns = ["id", "state", "target", "matched", "done", "failed", "requested_by", "reason"]
    write_list(rows, columns, as_json, "There was no replay yet.")


@replay.command()
@click.argument("replay_id")
def cancel(replay_id: str) -> None:
    """Stop a replay; what it has sent stays sent."""
    acts.cancel(migrated(), who(), replay_id)
    click.echo(f"Replay {replay_id} is cancelled.")


def _show(runtime: Runtime, replay_id: str, as_json: bool) -> None:
    shown = Replay.of(acts.find(runtime, replay_id)).shown()
    write_json(shown) if as_json else write_fields(shown)
