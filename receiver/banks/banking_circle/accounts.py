"""The accounts that a Banking Circle user sees."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from receiver.banks import payload
from receiver.banks.abilities import Account
from receiver.banks.banking_circle.api import paged
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable, NotKnown

PATH = "/api/v1/accounts"


def accounts(connection: Connection) -> Sequence[Account]:
    """`GET /api/v1/accounts`, every page. A 404 is the bank's word for none.

    Raises:
        BankError
    """
    try:
        return [_account(fields) for fields in paged(connection, PATH, {})]
    except NotKnown:
        return []


def _account(fields: Mapping[str, Any]) -> Account:
    account_id = payload.text(fields, "accountId")
    if account_id is None:
        raise AnswerUnreadable(f"GET {PATH}: an account without `accountId`")
    ibans = _texts(fields.get("ibans"))
    identifiers = [
        text for entry in _objects(fields.get("accountIdentifiers")) if (text := payload.text(entry, "account"))
    ]
    balances = _objects(fields.get("balances"))
    return Account(
        id=account_id,
        number=next(iter([*ibans, *identifiers]), None),
        name=payload.text(fields, "accountDescription"),
        currency=payload.text(fields, "currency"),
        status=payload.text(fields, "status"),
        balance=_balance(balances, payload.text(fields, "currency")),
        detail={
            "ibans": ibans,
            "identifiers": identifiers,
            "owner": payload.text(fields, "ownedByCompanyName"),
            "opened": payload.text(fields, "openingDate"),
            "closed": payload.text(fields, "closingDate"),
            "balances": [_shown(balance) for balance in balances],
        },
    )


def _balance(balances: Sequence[Mapping[str, Any]], currency: str | None) -> Decimal | None:
    """Return the first balance in the account's own currency, as it stands within the day."""
    own = [balance for balance in balances if currency in (None, payload.text(balance, "currency"))]
    return payload.amount(own[0], "intraDayAmount") if own else None


def _shown(balance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": payload.text(balance, "type"),
        "currency": payload.text(balance, "currency"),
        "begin_of_day": payload.decimal_text(payload.amount(balance, "beginOfDayAmount")),
        "intra_day": payload.decimal_text(payload.amount(balance, "intraDayAmount")),
        "date": payload.text(balance, "financialDate"),
    }


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    found = [payload.text({"text": entry}, "text") for entry in value] if isinstance(value, list) else []
    return [text for text in found if text]
