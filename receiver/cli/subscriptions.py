"""`receiver subscriptions`: what a bank was told of where its callbacks go."""

from collections.abc import Sequence
from typing import Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, write_json, write_list


@click.group(cls=Group)
def subscriptions() -> None:
    """List, make and deactivate subscriptions at a bank."""


@subscriptions.command("list")
@click.argument("source")
@as_json
@as_csv
def list_subscriptions(source: str, as_json: bool) -> None:
    """Ask the bank for all subscriptions, and say which of them come here."""
    from receiver.admin import subscriptions as acts

    rows = [{**_shown(found.subscription), "comes_here": found.is_ours} for found in acts.listing(migrated(), source)]
    columns = ["id", "active", "comes_here", "topics", "address"]
    write_list(rows, columns, as_json, "The bank has no subscription.")


@subscriptions.command()
@click.argument("source")
@click.option(
    "--topic", "topics", multiple=True, help="What to be told of, in the bank's word; repeatable. All without."
)
@click.option(
    "--url", help="Where the bank reaches this receiver, in place of RECEIVER_PUBLIC_URL: https://HOST[:PORT]."
)
@click.option("--channel", help="What follows the source's own path, for a second subscription beside another.")
@as_json
def create(source: str, topics: Sequence[str], url: str | None, channel: str | None, as_json: bool) -> None:
    """Have a bank send a source's callbacks here."""
    from receiver.admin import subscriptions as acts
    from receiver.admin.sources import OriginWrong
    from receiver.admin.subscriptions import Request

    if len(set(topics)) < len(topics):
        raise click.UsageError("--topic names one twice")
    try:
        made = acts.create(migrated(), who(), source, Request(topics, url, channel))
    except OriginWrong as error:
        raise click.UsageError(f"--url {error}") from error
    if as_json:
        write_json([_shown(each) for each in made])
        return
    for each in made:
        click.echo(f"Subscription {each.id} sends {', '.join(each.topics)} to {each.address}.")


@subscriptions.command()
@click.argument("source")
@click.argument("subscription_id")
def deactivate(source: str, subscription_id: str) -> None:
    """Have a bank send no more callbacks for a subscription."""
    from receiver.admin import subscriptions as acts

    acts.deactivate(migrated(), who(), source, subscription_id)
    click.echo(f"Subscription {subscription_id} is deactivated.")


def _shown(subscription: Any) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "active": subscription.is_active,
        "topics": list(subscription.topics),
        "address": subscription.address,
    }
