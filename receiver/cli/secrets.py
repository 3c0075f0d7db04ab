"""`receiver secret`: the message-signing secrets."""

import sys

import click

from receiver import banks
from receiver.cli.output import as_json, write_list
from receiver.cli.parts import migrated, source_named
from receiver.representations import rfc3339
from receiver.store import signing_secrets


@click.group()
def secret() -> None:
    """Set and list message-signing secrets."""


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
        version = signing_secrets.put(connection, runtime.sealer, found.id, text, now=now, grace_seconds=grace)
    click.echo(f"Secret {version} of {source} is the current one; one before it stays valid for {grace} s.")


def _piped() -> str:
    # What is no UTF-8 is kept as it is, for the check to refuse.
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


@secret.command("list")
@click.argument("source")
@as_json
def list_secrets(source: str, as_json: bool) -> None:
    """List the versions of a source's secret; never the secrets themselves."""
    runtime = migrated()
    now = runtime.clock()
    with runtime.database.read() as connection:
        versions = signing_secrets.versions(connection, source_named(connection, source).id)
    rows = [
        {
            "version": found.version,
            "state": "current" if found.expires_at is None else "valid" if found.expires_at > now else "expired",
            "created_at": rfc3339(found.created_at),
            "expires_at": rfc3339(found.expires_at) if found.expires_at else None,
        }
        for found in versions
    ]
    write_list(rows, ["version", "state", "created_at", "expires_at"], as_json, f"{source} has no secret yet.")
