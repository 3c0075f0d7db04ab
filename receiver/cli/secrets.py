"""`receiver secret`: the message-signing secrets, and the encryption of all that is secret."""

import sys
from typing import Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, write_list


@click.group(cls=Group)
def secret() -> None:
    """Set, list and expire message-signing secrets; encrypt all secrets anew."""


@secret.command("set")
@click.argument("source")
def set_secret(source: str) -> None:
    """Read a secret from standard input and make it the current one; the one before it stays valid for a while."""
    from receiver.admin import secrets as acts
    from receiver.admin import sources

    runtime = migrated()
    sources.find(runtime, source)
    text = click.prompt("Secret", hide_input=True, err=True) if sys.stdin.isatty() else _piped()
    stored = acts.put(runtime, who(), source, text)
    if not stored.is_new:
        click.echo(f"Secret {stored.version} of {source} is the current one already; nothing is changed.")
        return
    grace = runtime.settings.secret_grace_seconds
    click.echo(f"Secret {stored.version} of {source} is the current one; one before it stays valid for {grace} s.")


def _piped() -> str:
    # What is no UTF-8 is kept as it is, for the check to refuse; a byte-order mark is no part of the secret.
    return sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape")


@secret.command("list")
@click.argument("source")
@as_json
@as_csv
def list_secrets(source: str, as_json: bool) -> None:
    """List the versions of a source's secret, and one that is not known yet; never the secrets themselves."""
    from receiver.admin import secrets as acts
    from receiver.web.schemas.times import rfc3339

    runtime = migrated()
    now = runtime.clock()
    found = acts.listing(runtime, source)
    rows: list[dict[str, Any]] = [
        {
            "version": secret.version,
            "state": secret.state(now),
            "created_at": rfc3339(secret.created_at),
            "expires_at": rfc3339(secret.expires_at) if secret.expires_at else None,
        }
        for secret in found.versions
    ]
    if (change := found.unfinished) is not None:
        state = f"{change.kind} unfinished"
        rows.insert(0, {"version": None, "state": state, "created_at": rfc3339(change.begun_at), "expires_at": None})
        click.echo(found.warning, err=True)
    write_list(rows, ["version", "state", "created_at", "expires_at"], as_json, f"{source} has no secret yet.")


@secret.command()
@click.argument("source")
@click.argument("version", type=click.IntRange(1))
def expire(source: str, version: int) -> None:
    """End one version of a secret now: what was signed with it is refused from now on."""
    from receiver.admin import secrets as acts

    is_another_valid = acts.expire(migrated(), who(), source, version)
    click.echo(f"Secret {version} of {source} has expired.")
    if not is_another_valid:
        click.echo(
            f"{source} has no valid secret left: its callbacks get 503. Next: receiver secret set {source}", err=True
        )


@secret.command()
def reencrypt() -> None:
    """Encrypt everything secret anew with the first of RECEIVER_SECRET_KEYS; the others can be dropped then."""
    from receiver.admin import secrets as acts

    number = acts.reencrypt(migrated(), who())
    click.echo(f"Encrypted {number} secrets anew with the first key; nothing needs the others any more.")
    click.echo("Cursors and replay plans that older keys signed are refused once these are dropped.", err=True)
