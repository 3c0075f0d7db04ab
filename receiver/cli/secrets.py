"""`receiver secret`: the message-signing secrets, and the encryption of all that is secret."""

import sys
from collections.abc import Mapping
from typing import Any

import click
from sqlalchemy import Connection

from receiver import banks
from receiver.admin import bcb_from_environment
from receiver.cli.context import migrated, source_named, who
from receiver.cli.output import as_json, write_list
from receiver.credentials import outcomes
from receiver.runtime import Runtime
from receiver.store import audit, credential_changes, signing_secrets
from receiver.store.encryption import reencrypt_all
from receiver.web.schemas.times import rfc3339


@click.group()
def secret() -> None:
    """Set, list and expire message-signing secrets; encrypt all secrets anew."""


@secret.command("set")
@click.argument("source")
def set_secret(source: str) -> None:
    """Read a secret from standard input and make it the current one; the one before it stays valid for a while."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, source)
    text = click.prompt("Secret", hide_input=True, err=True) if sys.stdin.isatty() else _piped()
    text = text.strip()
    banks.named(found.bank).check_secret(text, found.options)
    grace = runtime.settings.secret_grace_seconds
    now = runtime.clock()
    with runtime.database.write() as connection:
        version = signing_secrets.put(connection, runtime.encryption, found.id, text, now=now, grace_seconds=grace)
        _note(connection, runtime, "secret.set", {"source": source, "version": version})
    click.echo(f"Secret {version} of {source} is the current one; one before it stays valid for {grace} s.")


def _piped() -> str:
    # What is no UTF-8 is kept as it is, for the check to refuse.
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


@secret.command("list")
@click.argument("source")
@as_json
def list_secrets(source: str, as_json: bool) -> None:
    """List the versions of a source's secret, and one that is not known yet; never the secrets themselves."""
    runtime = migrated()
    now = runtime.clock()
    with runtime.database.read() as connection:
        known = source_named(connection, source)
        versions = signing_secrets.versions(connection, known.id)
        change = credential_changes.pending(connection, known.id)
    rows: list[dict[str, Any]] = [
        {
            "version": found.version,
            "state": found.state(now),
            "created_at": rfc3339(found.created_at),
            "expires_at": rfc3339(found.expires_at) if found.expires_at else None,
        }
        for found in versions
    ]
    if change is not None:
        state = f"{change.kind} unfinished"
        rows.insert(0, {"version": None, "state": state, "created_at": rfc3339(change.begun_at), "expires_at": None})
        click.echo(outcomes.unfinished(known, change, change.error or "no answer yet"), err=True)
    write_list(rows, ["version", "state", "created_at", "expires_at"], as_json, f"{source} has no secret yet.")


@secret.command()
@click.argument("source")
@click.argument("version", type=click.IntRange(1))
def expire(source: str, version: int) -> None:
    """End one version of a secret now: what was signed with it is refused from now on."""
    runtime = migrated()
    now = runtime.clock()
    with runtime.database.write() as connection:
        found = source_named(connection, source)
        if not signing_secrets.expire(connection, found.id, version, now):
            raise click.ClickException(f"{source} has no valid secret {version}")
        _note(connection, runtime, "secret.expired", {"source": source, "version": version})
        left = signing_secrets.versions(connection, found.id)
    click.echo(f"Secret {version} of {source} has expired.")
    if all(secret.state(now) == "expired" for secret in left):
        click.echo(
            f"{source} has no valid secret left: its callbacks get 401. Next: receiver secret set {source}", err=True
        )


@secret.command()
def reencrypt() -> None:
    """Encrypt everything secret anew with the first of RECEIVER_SECRET_KEYS; the others can be dropped then."""
    runtime = migrated()
    with runtime.database.write() as connection:
        number = reencrypt_all(connection, runtime.encryption)
        bcb_from_environment.renew_digest(connection, runtime.settings)
        _note(connection, runtime, "secrets.reencrypted", {"number": number})
    click.echo(f"Encrypted {number} secrets anew with the first key; nothing needs the others any more.")
    click.echo("Cursors and replay plans that older keys signed are refused once these are dropped.", err=True)


def _note(connection: Connection, runtime: Runtime, what: str, about: Mapping[str, Any]) -> None:
    audit.write(connection, at=runtime.clock(), who=who(), what=what, why=None, about=about)
