"""`receiver retention`: remove what is older than it is to be stored, and see what holds things back."""

import sys
from collections import Counter
from typing import Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_json, in_rfc3339, write_fields, write_json, write_list
from receiver.model import NotPossible


@click.group(cls=Group)
def retention() -> None:
    """Remove what is older than it is to be stored; see what holds things back."""


@retention.command()
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Remove nothing; count what would be removed.")
@as_json
def run(names: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Remove what is due now, of these sources, or of all together with the feed; workers do it by themselves."""
    from receiver.admin import retention as acts
    from receiver.store import sources

    runtime = migrated()
    with runtime.database.read() as connection:
        known = sources.names(connection)
    removed: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()
    stopped: NotPossible | None = None
    try:
        for step in acts.run(runtime, who(), names, counts_only=dry_run):
            key = (known.get(step.source_id, ""), str(step.kind))
            removed[key] += step.removed
            left[key] += step.left
            _say(removed.total(), is_dry=dry_run)
    except NotPossible as error:
        # What is removed is told all the same: it does not come back.
        stopped = error
    if sys.stderr.isatty():
        click.echo(err=True)
    rows = [{"source": s or None, "kind": k, "removed": removed[s, k], "held_back": left[s, k]} for s, k in removed]
    rows = [row for row in rows if row["removed"] or row["held_back"]]
    write_list(rows, ["source", "kind", "removed", "held_back"], as_json, "Nothing is old enough.")
    if stopped is not None:
        raise stopped


def _say(number: int, *, is_dry: bool) -> None:
    """Show the progress, where somebody looks on."""
    if sys.stderr.isatty():
        click.echo(f"\r{'would remove' if is_dry else 'removed'} {number}", nl=False, err=True)


@retention.command()
@as_json
def status(as_json: bool) -> None:
    """Show for how long everything is stored, how much was removed, and what is held back and why."""
    from receiver.admin import retention as acts

    found = acts.status(migrated())
    rows: list[dict[str, Any]] = [
        {
            "source": each.source or None,
            "kind": str(each.kind),
            "days": each.days or None,
            "removed": each.removed,
            "held_back": {str(reason): number for reason, number in each.held_back.items()},
            "stopped_by": each.stopped_by and str(each.stopped_by),
        }
        for each in found.standings
    ]
    shown = in_rfc3339(
        {
            "looked_at": found.looked_at,
            "events_on_hold": found.on_hold,
            "feed_begins_behind": found.feed_begins_behind,
            "feed_begins_at": found.feed_begins_at,
            "slowest_consumer": found.slowest and found.slowest.name,
            "slowest_position": found.slowest and found.slowest.position,
            "slowest_replay": found.replay and found.replay.id,
            "slowest_replay_state": found.replay and str(found.replay.state),
            "slowest_replay_position": found.replay and found.replay.position,
            "idle_consumers": list(found.idle),
        }
    )
    if as_json:
        write_json({**shown, "retention": rows})
        return
    write_fields({**shown, "idle_consumers": ", ".join(found.idle) or None})
    click.echo()
    for row in rows:
        row["days"] = row["days"] or ("for ever" if row["source"] else None)
        row["held_back"] = ", ".join(f"{number} {reason}" for reason, number in row["held_back"].items()) or None
    columns = ["source", "kind", "days", "removed", "held_back", "stopped_by"]
    write_list(rows, columns, False, "There is no source.")
