"""`receiver source`: the bank relations."""

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from receiver import banks
from receiver.banks.bank import Bank, OptionsWrong
from receiver.cli.output import as_json, write_fields, write_json, write_list
from receiver.cli.parts import migrated, source_named, who
from receiver.representations import rfc3339
from receiver.store import audit, bank_access, credential_changes, signing_secrets, sources
from receiver.store.sources import SourceNameWrong, SourceRecord


@click.group()
def source() -> None:
    """Add and look after bank relations."""


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
    if base_url is not None and not base_url.startswith(("https://", "http://")):
        raise click.UsageError(f"--base-url takes a URL, not {base_url!r}")
    runtime = migrated()
    given = _read(credentials, bank) if credentials else _ask(bank)
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
                sources.set_credentials(connection, runtime.sealer, added.id, given)
    except SourceNameWrong as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Added source {name}. Its callbacks go to {runtime.settings.public_path_prefix}/webhooks/{name}")
    if not given:
        click.echo(f"It has no API credentials, so payments of {name} can't be checked.", err=True)
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


def _ask(bank: Bank) -> dict[str, str]:
    if not sys.stdin.isatty():
        return {}
    click.echo("API credentials (Enter alone leaves them out):", err=True)
    given = {
        name: click.prompt(name, default="", show_default=False, hide_input="secret" in name, err=True)
        for name in bank.credential_names
    }
    return given if all(given.values()) else {}


def _read(file: TextIO, bank: Bank) -> dict[str, str]:
    """Take the names as we write them or as banks do: `client_id`, `clientId`."""
    try:
        given = json.load(file)
    except ValueError as error:
        raise click.ClickException(f"--credentials is not JSON: {error}") from None
    fields = {key.lower().replace("_", ""): value for key, value in given.items()} if isinstance(given, dict) else {}
    found = {name: fields.get(name.replace("_", "")) for name in bank.credential_names}
    missing = [name for name, value in found.items() if not isinstance(value, str) or not value]
    if missing:
        raise click.ClickException(f"--credentials lacks {', '.join(missing)}; it takes {', '.join(found)} as text")
    return {name: str(value) for name, value in found.items()}


@source.command("credentials")
@click.argument("name")
@click.argument("file", type=click.File(), default="-")
def set_credentials(name: str, file: TextIO) -> None:
    """Replace a source's API credentials by those in FILE (JSON; standard input without it)."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, name)
        change = credential_changes.pending(connection, found.id)
    bank = banks.named(found.bank)
    given = _ask(bank) if file is sys.stdin and sys.stdin.isatty() else _read(file, bank)
    if not given:
        raise click.ClickException("no credentials were given")
    if change is not None:
        # Its answer would be put over these.
        runtime.credential_changes().abandon(found, who())
        click.echo(f"The unfinished change ({change.kind}) of the credentials of {name} is given up.", err=True)
    with runtime.database.write() as connection:
        sources.set_credentials(connection, runtime.sealer, found.id, given)
        bank_access.forget(connection, found.id)
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
    """Show one source, with the state of its secrets and keys."""
    runtime = migrated()
    with runtime.database.read() as connection:
        found = source_named(connection, name)
        secrets = signing_secrets.versions(connection, found.id)
        keys = bank_access.public_keys(connection, found.id)
    shown = _shown(found) | {
        "options": dict(found.options),
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
