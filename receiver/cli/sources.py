"""`receiver source`: the bank relations; `receiver accounts`: the accounts that a relation's credentials see."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from receiver import banks
from receiver.cli import credentials_input
from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, cell, write_fields, write_json, write_list
from receiver.model import Environment

if TYPE_CHECKING:
    from receiver.banks.abilities import Account
    from receiver.store.sources import SourceRecord


ENVIRONMENTS = click.Choice(tuple(map(str, Environment)))


@click.group(cls=Group)
def source() -> None:
    """Add and look after bank relations."""


@source.command()
@click.argument("name")
@click.option("--bank", "bank_name", required=True, type=click.Choice(banks.names()), help="Which bank.")
@click.option(
    "--environment",
    type=ENVIRONMENTS,
    default="sandbox",
    show_default=True,
    help="The bank's; it chooses the API's address.",
)
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
    from receiver.admin import sources as acts
    from receiver.admin.sources import NewSource
    from receiver.store.sources import SourceNameWrong

    bank = banks.named(bank_name)
    new = NewSource(name, bank_name, environment, base_url, _options(options))
    with _wrong_use():
        checked = acts.check(new)
    if credentials and not bank.credential_names:
        raise click.UsageError(f"{bank_name} has no API, so it takes no --credentials")
    runtime = migrated()
    given = credentials_input.credentials(bank, credentials, runtime.clock())
    try:
        acts.add(runtime, who(), new, given)
    except SourceNameWrong as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Added source {name}. Its callbacks go to {runtime.settings.public_path_prefix}/webhooks/{name}")
    if not given and bank.credential_names:
        click.echo(f"It has no API credentials, so payments of {name} can't be checked.", err=True)
    if bank.needs_secret(checked):
        click.echo(f"Next: receiver secret set {name}", err=True)


def _options(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--option takes KEY=VALUE, not {text!r}")
        if key in found:
            raise click.UsageError(f"--option {key} is given twice; it takes one value")
        found[key] = value
    return found


@contextmanager
def _wrong_use() -> Iterator[None]:
    """Say what is wrong with a source's options and address as wrong use (2)."""
    from receiver.admin.sources import BaseUrlMissing, BaseUrlWrong
    from receiver.banks.protocol import OptionsWrong

    try:
        yield
    except BaseUrlWrong as error:
        raise click.UsageError(f"--base-url: {error}") from error
    except BaseUrlMissing as error:
        raise click.UsageError(f"{error}: give --base-url") from error
    except OptionsWrong as error:
        raise click.UsageError(str(error)) from error


@source.command("set")
@click.argument("name")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Set an option of the bank; repeatable.")
@click.option("--unset", multiple=True, metavar="KEY", help="Give an option its default again; repeatable.")
@click.option("--base-url", help="The API's address; the empty text for the bank's own.")
@click.option("--environment", type=ENVIRONMENTS, help="The bank's; it chooses the API's address.")
def set_source(
    name: str, options: Sequence[str], unset: Sequence[str], base_url: str | None, environment: str | None
) -> None:
    """Change a source's options, the address of its bank's API or its environment; in use within a second."""
    from receiver.admin import refusals, source_changes
    from receiver.admin.source_changes import NewSettings

    if not options and not unset and base_url is None and environment is None:
        raise click.UsageError("nothing to set: give --option, --unset, --base-url or --environment")
    if len(set(unset)) < len(unset):
        raise click.UsageError("--unset names an option twice")
    new = NewSettings(_options(options), unset, base_url, environment)
    runtime = migrated()
    with _wrong_use():
        changed = source_changes.change(runtime, who(), name, new)
    where_to = f" Its API credentials go to {_places(changed)} alone." if changed.has_credentials else ""
    click.echo(f"Source {name} is changed.{where_to}")
    if refused := refusals.stored(runtime, changed):
        click.echo(f"It has refused {refused} deliveries, which are stored; to verify them again:", err=True)
        click.echo(f"receiver deliveries reverify --source {name}", err=True)


def _places(source: SourceRecord) -> str:
    """Say where a source's credentials go: whoever sets them should see it."""
    bank = banks.named(source.bank)
    api = source.base_url or bank.hosts.get(source.environment, "")
    places = dict.fromkeys((api, bank.authorization_url(source.environment, source.base_url, source.options)))
    return " and ".join(places)


@source.command("credentials")
@click.argument("name")
@click.option("--credentials", type=click.File(), help="API credentials as JSON; - for standard input.")
def set_credentials(name: str, credentials: TextIO | None) -> None:
    """Replace a source's API credentials, such as a certificate that ends; asked for, or from standard input."""
    from receiver.admin import sources as acts

    runtime = migrated()
    source = acts.find(runtime, name)
    bank = banks.named(source.bank)
    where_to = f"The API credentials of {name} go to {_places(source)} alone."
    piped = None if sys.stdin.isatty() else sys.stdin
    if piped is None and bank.credential_names:
        # Before they are typed: whoever can write to the database may have put another address there.
        click.echo(where_to, err=True)
    given = credentials_input.credentials(bank, credentials or piped, runtime.clock())
    if not given:
        raise click.ClickException("no credentials were given; nothing is changed")
    if piped is not None:
        click.echo(where_to, err=True)
    given_up = acts.set_credentials(runtime, who(), name, given)
    if given_up is not None:
        click.echo(f"The unfinished change ({given_up.kind}) of the credentials of {name} is given up.", err=True)
    click.echo(f"The API credentials of {name} are replaced. Next: receiver doctor")


@source.command()
@click.argument("name")
@click.option("--url", required=True, help="Where the bank reaches this receiver: https://HOST[:PORT], no path.")
def register(name: str, url: str) -> None:
    """Tell a bank by its API where callbacks go, where the bank takes it so."""
    from receiver.admin import sources as acts
    from receiver.admin.sources import OriginWrong

    try:
        made = acts.register(migrated(), who(), name, url)
    except OriginWrong as error:
        raise click.UsageError(f"--url {error}") from error
    click.echo(f"Registered {made.address}{'/…' if made.has_further_path else ''} as {cell(made.bank_says)}.")


@source.command("list")
@click.option("--all", "with_hidden", is_flag=True, help="Those that were removed too.")
@as_json
@as_csv
def list_sources(with_hidden: bool, as_json: bool) -> None:
    """List all sources."""
    from receiver.store import sources

    runtime = migrated()
    with runtime.database.read() as connection:
        rows = [_shown(found) for found in (sources.every if with_hidden else sources.shown)(connection)]
    columns = ["name", "bank", "environment", "enabled", *(["hidden_at"] if with_hidden else []), "base_url"]
    write_list(rows, columns, as_json, "There is no source yet.")


@source.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one source, how strongly its callbacks are proven, and the state of its secrets and keys."""
    from receiver.admin import sources as acts
    from receiver.banks.callback import LEAVES_OPEN, strongest_proof
    from receiver.web.schemas.times import rfc3339

    found = acts.details(migrated(), name)
    keys = found.public_keys
    proof, missing = strongest_proof(found.proofs), banks.missing_bank(found.source)
    shown = _shown(found.source) | {
        "options": dict(found.source.options),
        "proof": None if missing else proof,
        "proven_by": list(found.proofs),
        "proof_leaves_open": missing or LEAVES_OPEN[proof],
        "latest_event_at": rfc3339(found.latest_event_at) if found.latest_event_at else None,
        "api_credentials": found.source.has_credentials,
        "secrets": [secret.version for secret in found.secrets],
        "public_keys_fetched_at": rfc3339(keys.fetched_at) if keys.fetched_at else None,
        "public_keys_error": keys.error,
    }
    write_json(shown) if as_json else write_fields(shown)


def _shown(found: SourceRecord) -> dict[str, Any]:
    from receiver.web.schemas.times import rfc3339

    hosts = {} if banks.missing_bank(found) else banks.named(found.bank).hosts
    return {
        "name": found.name,
        "bank": found.bank,
        "environment": found.environment,
        "enabled": found.enabled,
        "base_url": found.base_url or hosts.get(found.environment),
        "created_at": rfc3339(found.created_at),
        "hidden_at": rfc3339(found.hidden_at) if found.hidden_at else None,
    }


@source.command()
@click.argument("name")
def disable(name: str) -> None:
    """Take no more callbacks for a source (404), and ask its bank no more."""
    from receiver.admin import sources as acts

    goes_on = acts.disable(migrated(), who(), name)
    click.echo(f"Source {name} is disabled.")
    if goes_on is not None:
        click.echo(f"{goes_on[:1].upper()}{goes_on[1:]}.", err=True)


@source.command()
@click.argument("name")
def enable(name: str) -> None:
    """Take callbacks for a source again."""
    from receiver.admin import sources as acts

    acts.enable(migrated(), who(), name)
    click.echo(f"Source {name} is enabled.")


@source.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a source for good; what its bank told stays, and so does its name then."""
    from receiver.admin import source_changes

    removed = source_changes.remove(migrated(), who(), name)
    click.echo(f"Source {name} is removed: its callbacks get 404, its API credentials are destroyed.")
    if removed.holds:
        click.echo(f"What came of its callbacks stays, and {name} goes on naming it: it is hidden (source list --all).")
    else:
        click.echo(f"Nothing came of its callbacks, so its name is free (source list --all: {removed.name}).")


@click.group(cls=Group)
def accounts() -> None:
    """Look at the accounts at a bank."""


@accounts.command("list")
@click.argument("source")
@as_json
@as_csv
def list_accounts(source: str, as_json: bool) -> None:
    """Ask the bank for all accounts that the source's credentials see."""
    from receiver.admin import credentials

    rows = [_account(account) for account in credentials.accounts(migrated(), source)]
    columns = ["account_id", "number", "name", "currency", "status", "balance"]
    write_list(rows, columns, as_json, "The credentials see no account.")


def _account(account: Account) -> dict[str, Any]:
    from receiver.banks.json_values import decimal_text

    return {
        "account_id": account.id,
        "number": account.number,
        "name": account.name,
        "currency": account.currency,
        "status": account.status,
        "balance": decimal_text(account.balance),
        **account.detail,
    }
