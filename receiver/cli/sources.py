"""`receiver source`: the bank relations."""

import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from receiver import banks
from receiver.bank_client.session import BankSession
from receiver.banks.callback import LEAVES_OPEN, strongest_proof
from receiver.banks.protocol import Bank, OptionsWrong
from receiver.cli import credentials_input
from receiver.cli.context import migrated, source_named, who
from receiver.cli.output import as_json, cell, write_fields, write_json, write_list
from receiver.credentials.rotation import CredentialChanges
from receiver.store import audit, bank_sessions, credential_changes, events, signing_secrets, sources
from receiver.store.sources import SourceNameWrong, SourceRecord
from receiver.web.schemas.times import rfc3339

_ORIGIN = re.compile(r"https://[^/?#\s@]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?")


@click.command()
@click.argument("name")
@click.option("--url", required=True, help="Where the bank reaches this receiver: https://HOST[:PORT], no path.")
def register(name: str, url: str) -> None:
    """Tell a bank by its API where callbacks go, where the bank takes it so."""
    origin = url.rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise click.UsageError(f"--url takes https://HOST[:PORT] (http:// on loopback alone), not {url!r}")
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, name)
        secrets = signing_secrets.valid(connection, runtime.encryption, found.id, runtime.clock())
    access = BankSession(runtime, found)
    if access.bank.needs_secret(found.options) and not secrets:
        raise click.ClickException(
            f"{name} has no secret, so its callbacks would be refused: receiver secret set {name}"
        )
    path = access.bank.listener_path(found.options, secrets[0].text if secrets else None)
    address = f"{origin}{runtime.settings.public_path_prefix}/webhooks/{name}"
    told = access.ask(lambda way: access.bank.register(way, f"{address}{path}"))
    for secret in secrets:
        told = told.replace(secret.text, "…")
    about = {"source": name, "address": address, "bank_says": told}
    with runtime.database.write() as connection:
        audit.write(connection, at=runtime.clock(), who=who(), what="source.registered", why=None, about=about)
    click.echo(f"Registered {address}{'/…' if path else ''} as {cell(told)}.")


@click.group()
def source() -> None:
    """Add and look after bank relations."""


source.add_command(register)


@source.command()
@click.argument("name")
@click.option("--bank", "bank_name", required=True, type=click.Choice(sorted(banks.every())), help="Which bank.")
@click.option("--environment", type=click.Choice(["sandbox", "production"]), default="sandbox", show_default=True)
@click.option("--base-url", help="The API's address, where it is not the bank's own for the environment.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the bank; repeatable.")
@click.option("--credentials", type=click.File(), help="API credentials as JSON; - for standard input.")
def add(
    name: str,
    bank_name: str,
    environment: str,
    base_url: str | None,
    options: Sequence[str],
    credentials: TextIO | None,
) -> None:
    """Add a source. Its API credentials are asked for, unless --credentials names a file that holds them."""
    bank = banks.named(bank_name)
    checked = _check(bank, dict(_option(option) for option in options))
    _check_address(bank, base_url, environment)
    if credentials and not bank.credential_names:
        raise click.UsageError(f"{bank.name} has no API, so it takes no --credentials")
    runtime = migrated()
    given = credentials_input.credentials(bank, credentials, runtime.clock())
    try:
        with runtime.database.write() as connection:
            added = sources.add(
                connection,
                name=name,
                bank=bank.name,
                environment=environment,
                base_url=base_url,
                options=checked,
                now=runtime.clock(),
            )
            if given:
                sources.set_credentials(connection, runtime.encryption, added.id, given)
    except SourceNameWrong as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Added source {name}. Its callbacks go to {runtime.settings.public_path_prefix}/webhooks/{name}")
    if not given and bank.credential_names:
        click.echo(f"It has no API credentials, so payments of {name} can't be checked.", err=True)
    if bank.needs_secret(checked):
        click.echo(f"Next: receiver secret set {name}", err=True)


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--option takes KEY=VALUE, not {text!r}")
    return key, value


def _check(bank: Bank, options: dict[str, str]) -> dict[str, Any]:
    try:
        return bank.check_options(options)
    except OptionsWrong as error:
        raise click.UsageError(str(error)) from error


def _check_address(bank: Bank, base_url: str | None, environment: str) -> None:
    try:
        if base_url is not None:
            bank.check_base_url(base_url)
    except OptionsWrong as error:
        raise click.UsageError(f"--base-url: {error}") from error
    if base_url is None and bank.credential_names and environment not in bank.hosts:
        raise click.UsageError(f"where {bank.name} has its API in {environment} is not known: give --base-url")


@source.command("credentials")
@click.argument("name")
@click.option("--credentials", type=click.File(), help="API credentials as JSON; - for standard input.")
def set_credentials(name: str, credentials: TextIO | None) -> None:
    """Replace a source's API credentials, such as a certificate that ends; asked for, or from standard input."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, name)
        change = credential_changes.pending(connection, found.id)
    piped = None if sys.stdin.isatty() else sys.stdin
    given = credentials_input.credentials(banks.named(found.bank), credentials or piped, runtime.clock())
    if not given:
        raise click.ClickException("no credentials were given; nothing is changed")
    if change is not None:
        # Its answer would be put over these.
        CredentialChanges(runtime).abandon(found, who())
        click.echo(f"The unfinished change ({change.kind}) of the credentials of {name} is given up.", err=True)
    with runtime.database.write() as connection:
        sources.set_credentials(connection, runtime.encryption, found.id, given)
        bank_sessions.forget(connection, found.id)
        about = {"source": name}
        audit.write(connection, at=runtime.clock(), who=who(), what="source.credentials", why=None, about=about)
    click.echo(f"The API credentials of {name} are replaced. Next: receiver doctor")


@source.command("list")
@as_json
def list_sources(as_json: bool) -> None:
    """List all sources."""
    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [_shown(found) for found in sources.every(connection)]
    write_list(rows, ["name", "bank", "environment", "enabled", "base_url"], as_json, "There is no source yet.")


@source.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one source, how strongly its callbacks are proven, and the state of its secrets and keys."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, name)
        secrets = signing_secrets.versions(connection, found.id)
        keys = bank_sessions.public_keys(connection, found.id)
        latest = events.latest(connection, found.id)
    proven_by = banks.named(found.bank).proofs(found.options)
    proof = strongest_proof(proven_by)
    shown = _shown(found) | {
        "options": dict(found.options),
        "proof": proof,
        "proven_by": list(proven_by),
        "proof_leaves_open": LEAVES_OPEN[proof],
        "latest_event_at": rfc3339(latest) if latest else None,
        "api_credentials": found.has_credentials,
        "secrets": [secret.version for secret in secrets],
        "public_keys_fetched_at": rfc3339(keys.fetched_at) if keys.fetched_at else None,
        "public_keys_error": keys.error,
    }
    write_json(shown) if as_json else write_fields(shown)


def _shown(found: SourceRecord) -> dict[str, Any]:
    bank = banks.named(found.bank)
    return {
        "name": found.name,
        "bank": found.bank,
        "environment": found.environment,
        "enabled": found.enabled,
        "base_url": found.base_url or bank.hosts.get(found.environment),
        "created_at": rfc3339(found.created_at),
    }


@source.command()
@click.argument("name")
def disable(name: str) -> None:
    """Take no more callbacks for a source (404), and ask its bank no more."""
    _set_enabled(name, False)


@source.command()
@click.argument("name")
def enable(name: str) -> None:
    """Take callbacks for a source again."""
    _set_enabled(name, True)


def _set_enabled(name: str, enabled: bool) -> None:
    runtime = migrated()
    with runtime.database.write() as connection:
        sources.change(connection, source_named(connection, name).id, enabled=enabled)
    click.echo(f"Source {name} is {'enabled' if enabled else 'disabled'}.")
