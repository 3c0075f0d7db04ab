"""`receiver accounts`: the accounts that a source's credentials see."""

from typing import Any

import click

from receiver.admin import credentials
from receiver.banks.abilities import Account
from receiver.banks.json_values import decimal_text
from receiver.cli.context import migrated
from receiver.cli.output import as_json, write_list


@click.group()
def accounts() -> None:
    """Look at the accounts at a bank."""


@accounts.command("list")
@click.argument("source")
@as_json
def list_accounts(source: str, as_json: bool) -> None:
    """Ask the bank for all accounts that the source's credentials see."""
    rows = [_shown(account) for account in credentials.accounts(migrated(), source)]
    columns = ["account_id", "number", "name", "currency", "status", "balance"]
    write_list(rows, columns, as_json, "The credentials see no account.")


def _shown(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "number": account.number,
        "name": account.name,
        "currency": account.currency,
        "status": account.status,
        "balance": decimal_text(account.balance),
        **account.detail,
    }
