"""`receiver credentials`: API credentials at the bank, created, rotated and disabled over its API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, cell, write_list

if TYPE_CHECKING:
    from receiver.admin.credentials import Permissions
    from receiver.runtime import Runtime
    from receiver.store.credential_changes import ChangeRecord


show_secrets = click.option("--show", is_flag=True, help="Write the new secrets to standard output.")


@click.group(cls=Group)
def credentials() -> None:
    """Create, rotate and disable API credentials at the bank, and look at their permissions."""


@credentials.command()
@click.argument("source")
@click.option("--allowed-ips", metavar="LIST", help="Addresses and CIDR ranges that may use them, or * for all.")
@click.option("--keep-old", is_flag=True, help="For another app: written to standard output; the source keeps its own.")
@click.option("--undo", is_flag=True, help="Go back to the client before; the new one stays alive at the bank.")
@show_secrets
def create(source: str, allowed_ips: str | None, keep_old: bool, undo: bool, show: bool) -> None:
    """Have a new client made, which the source uses once it has worked from here; the one before stays alive."""
    from receiver.admin import credentials as acts
    from receiver.banks.abilities import AddressesWrong

    if undo and (allowed_ips is not None or keep_old or show):
        raise click.UsageError("--undo stands alone: it makes no client")
    runtime = migrated()
    if undo:
        undone = acts.undo(runtime, who(), source)
        click.echo(
            f"{source} uses the client before {cell(undone.client_id)}, which is still alive: "
            f"`receiver credentials disable {source} --client-id {cell(undone.client_id)}` ends it."
        )
        return
    latest = acts.latest(runtime, source)
    try:
        change = acts.create(runtime, who(), source, allowed_ips, for_another_app=keep_old)
    except AddressesWrong as error:
        raise click.UsageError(f"--allowed-ips: {error}") from error
    if keep_old:
        click.echo(f"The new client {change.client_id} is made, and shown this once; {source} keeps its own.", err=True)
        _write_secrets(runtime, source, change)
        acts.report(runtime, change)
        return
    is_new = change.id > latest
    now = ", which has worked, and the one before is still alive" if is_new else ""
    _report(runtime, source, change, f"{source} uses the new client {change.client_id}{now}", show, is_new=is_new)


@credentials.command()
@click.argument("source")
@click.option("--abandon", is_flag=True, help="Give up an unfinished change of any kind, rather than rotate.")
@show_secrets
def rotate(source: str, abandon: bool, show: bool) -> None:
    """Have the source's secrets replaced, or finish a rotation that was begun."""
    from receiver.admin import credentials as acts

    if abandon and show:
        raise click.UsageError("--abandon stands alone: it brings no secrets")
    runtime = migrated()
    if abandon:
        given_up = acts.abandon(runtime, who(), source)
        click.echo(f"The unfinished change ({given_up.kind}) of the credentials of {source} is given up.")
        return
    latest = acts.latest(runtime, source)
    change = acts.rotate(runtime, who(), source)
    _report(runtime, source, change, f"The credentials of {source} are rotated", show, is_new=change.id > latest)


@credentials.command()
@click.argument("source")
@click.option("--client-id", help="Another client than the source's own.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def disable(source: str, client_id: str | None, yes: bool) -> None:
    """Disable credentials at the bank for good."""
    from receiver.admin import credentials as acts

    runtime = migrated()
    client = acts.client_to_disable(runtime, who(), source, client_id)
    shown = cell(client.client_id) + (f", which {source} uses itself," if client.is_own else "")
    if not client.is_done and not yes and sys.stdin.isatty():
        click.confirm(f"Disable {shown} for good?", abort=True, err=True)
    elif not client.is_done and not client_id:
        click.echo(f"Disabling {shown} for good.", err=True)
    latest = acts.latest(runtime, source)
    change = acts.disable(runtime, who(), source, client.client_id)
    earlier = "" if change.id > latest else f" by an earlier change, {_times(change)}"
    click.echo(f"The client {cell(change.client_id)} is disabled at the bank{earlier}.")
    for version in acts.endless_secrets(runtime, source, client.client_id):
        ends = f"`receiver secret expire {source} {version}` ends it"
        click.echo(f"Secret {version} of {source} has no end, and is that client's, or may be: {ends}.", err=True)
    acts.report(runtime, change)


@credentials.command()
@click.argument("source")
@as_json
@as_csv
def permissions(source: str, as_json: bool) -> None:
    """List what the source may do at the bank, and what it needs and may not."""
    from receiver.admin import credentials as acts

    found = acts.permissions(migrated(), source)
    write_list(_rows(found), ["key", "held", "needed_for", "description"], as_json, "None.")
    if found.missing:
        raise click.ClickException(f"missing: {', '.join(found.missing)}; ask the bank to grant them to the client")


def _rows(found: Permissions) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = [
        {"key": one.key, "held": True, "needed_for": found.needed.get(one.key), "description": one.description}
        for one in found.held
    ]
    return held + [
        {"key": key, "held": False, "needed_for": found.needed[key], "description": None} for key in found.missing
    ]


def _write_secrets(runtime: Runtime, source: str, change: ChangeRecord) -> None:
    from receiver.admin import credentials as acts

    for name, value in acts.show(runtime, who(), source, change).items():
        click.echo(f"{name}  {cell(value)}")


def _times(change: ChangeRecord) -> str:
    return f"begun at {change.begun_at:%Y-%m-%d %H:%M:%S} UTC, done at {change.finished_at:%Y-%m-%d %H:%M:%S} UTC"


def _report(runtime: Runtime, source: str, change: ChangeRecord, done: str, show: bool, *, is_new: bool) -> None:
    """Say what was done; of a change that was begun before this command, when, and that nothing else was begun."""
    from receiver.admin import bcb_from_environment
    from receiver.admin import credentials as acts

    secret = f"secret {change.secret_version}" if change.secret_version else "no secret"
    if is_new:
        grace = runtime.settings.secret_grace_seconds
        current = f"{secret} is the current one" if change.secret_version else f"{secret} came with it"
        before = f"; the ones before it stay valid for {grace} s" if change.kind == "rotate" else ""
        click.echo(f"{done}: {current}{before}.", err=show)
    else:
        click.echo(f"{done} by an earlier change, {_times(change)}: {secret} came with it.", err=show)
        click.echo(f"Nothing was begun now: to {change.kind} once more, run this once more.", err=show)
    if show:
        _write_secrets(runtime, source, change)
    if bcb_from_environment.sets_credentials_of(runtime.settings, source):
        click.echo("The BCB_… variables in the environment are outdated: take the secrets out of them.", err=True)
    acts.report(runtime, change)
