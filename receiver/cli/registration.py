"""`receiver source register`: telling a bank where its callbacks go."""

import re

import click

from receiver.cli.output import cell
from receiver.cli.parts import migrated, source_named, who
from receiver.reconcile.access import BankAccess
from receiver.store import audit, signing_secrets

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
        secrets = signing_secrets.valid(connection, runtime.sealer, found.id, runtime.clock())
    access = BankAccess(runtime.database, runtime.sealer, found, clock=runtime.clock)
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
