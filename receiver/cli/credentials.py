"""`receiver credentials`: API credentials at the bank, created, rotated and disabled over its API."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from receiver.banks.abilities import AddressesWrong, IssuesCredentials, Permission
from receiver.banks.errors import Forbidden
from receiver.cli.context import migrated, source_named, who
from receiver.cli.output import as_json, cell, write_list
from receiver.credentials import outcomes
from receiver.credentials import permissions as standing
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.runtime import Runtime
from receiver.store import audit, signing_secrets, sources
from receiver.store.credential_changes import ChangeRecord
from receiver.store.sources import SourceRecord

show_secrets = click.option("--show", is_flag=True, help="Write the new secrets to standard output.")


@click.group()
def credentials() -> None:
    """Create, rotate and disable API credentials at the bank, and look at their permissions."""


@credentials.command()
@click.argument("source")
@click.option("--allowed-ips", metavar="LIST", help="Addresses and CIDR ranges that may use them, or * for all.")
@show_secrets
def create(source: str, allowed_ips: str | None, show: bool) -> None:
    """Have new credentials made, which the source uses from then on; those before stay alive at the bank."""
    runtime, found = _start(source)
    bank = standing.issuing(found)
    if allowed_ips is not None:
        try:
            allowed_ips = bank.check_addresses(allowed_ips)
        except AddressesWrong as error:
            raise click.UsageError(f"--allowed-ips: {error}") from error
    change = CredentialChanges(runtime).make(found, ChangeRequest("create", who(), allowed_ips=allowed_ips))
    _tell(
        runtime, found, change, f"{source} uses the new client {change.client_id}; the one before is still alive", show
    )


@credentials.command()
@click.argument("source")
@click.option("--abandon", is_flag=True, help="Give up an unfinished change, once the bank gave new secrets otherwise.")
@show_secrets
def rotate(source: str, abandon: bool, show: bool) -> None:
    """Have the source's secrets replaced, or finish a rotation that was begun."""
    runtime, found = _start(source)
    if abandon:
        CredentialChanges(runtime).abandon(found, who())
        click.echo(f"The unfinished change of the credentials of {source} is given up.")
        return
    change = CredentialChanges(runtime).make(found, ChangeRequest("rotate", who()))
    _tell(runtime, found, change, f"The credentials of {source} are rotated", show)


@credentials.command()
@click.argument("source")
@click.option("--client-id", help="Another client than the source's own.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def disable(source: str, client_id: str | None, yes: bool) -> None:
    """Disable credentials at the bank for good."""
    runtime, found = _start(source)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Disable {client_id or f'the client of {source}'} for good?", abort=True, err=True)
    changes = CredentialChanges(runtime)
    change = changes.make(found, ChangeRequest("disable", who(), client_id=client_id))
    click.echo(f"The client {cell(change.client_id)} is disabled at the bank.")
    changes.report(change)


@credentials.command()
@click.argument("source")
@as_json
def permissions(source: str, as_json: bool) -> None:
    """List what the source may do at the bank, and what it needs and may not."""
    runtime, found = _start(source)
    bank = standing.issuing(found)
    try:
        held = standing.permissions(runtime, found)
    except Forbidden as refused:
        raise click.ClickException(outcomes.in_words(found, None, refused)) from refused
    write_list(_rows(bank, held), ["key", "held", "needed_for", "description"], as_json, "None.")
    missing = standing.missing(bank, held)
    if missing:
        raise click.ClickException(f"missing: {', '.join(missing)}; ask the bank to grant them to the client")


def _rows(bank: IssuesCredentials, held: Sequence[Permission]) -> list[dict[str, Any]]:
    needed = bank.needed_permissions
    rows = [
        {"key": one.key, "held": True, "needed_for": needed.get(one.key), "description": one.description}
        for one in held
    ]
    return rows + [
        {"key": key, "held": False, "needed_for": needed[key], "description": None}
        for key in standing.missing(bank, held)
    ]


def _start(source: str) -> tuple[Runtime, SourceRecord]:
    runtime = migrated()
    with runtime.database.read() as connection:
        return runtime, source_named(connection, source)


def _tell(runtime: Runtime, source: SourceRecord, change: ChangeRecord, words: str, show: bool) -> None:
    grace = runtime.settings.secret_grace_seconds
    secret = f"secret {change.secret_version} is the current one" if change.secret_version else "no secret came with it"
    before = f"; the ones before it stay valid for {grace} s" if change.kind == "rotate" else ""
    click.echo(f"{words}: {secret}{before}.", err=show)
    if show:
        _show(runtime, source, change)
    if source.name == "bcb" and runtime.settings.bcb_client_secret is not None:
        click.echo("The BCB_… variables in the environment are outdated: take the secrets out of them.", err=True)
    CredentialChanges(runtime).report(change)


def _show(runtime: Runtime, source: SourceRecord, change: ChangeRecord) -> None:
    with runtime.database.write() as connection:
        opened = sources.credentials(connection, runtime.encryption, source.id) or {}
        secrets = signing_secrets.every(connection, runtime.encryption, source.id)
        about = {"source": source.name, "version": change.secret_version}
        audit.write(connection, at=runtime.clock(), who=who(), what="secret.shown", why=None, about=about)
    found: dict[int | None, str] = {secret.version: secret.text for secret in secrets}
    for name, value in {**opened, "signing_secret": found.get(change.secret_version)}.items():
        click.echo(f"{name}  {cell(value)}")
