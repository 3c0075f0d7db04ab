"""The accounts that BCB's credentials see."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from receiver.banks import payload
from receiver.banks.abilities import Account
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable

PATH = "/v1/accounts"

PAGE_SIZE = 1000
PAGES_MAX = 1000


def accounts(connection: Connection) -> Sequence[Account]:
    """`GET /v1/accounts`, every page. The names of an account's fields are not documented; the likely ones are read.

    Raises:
        BankError
    """
    return [_account(fields) for fields in _entries(connection)]


def _entries(connection: Connection) -> Iterator[dict[str, Any]]:
    query: dict[str, Any] = {"pageSize": PAGE_SIZE}
    seen = 0
    for number in range(1, PAGES_MAX + 1):
        answer = connection.get(f"{PATH}?{urlencode(query)}")
        listed = answer.get("data") if isinstance(answer, dict) else answer
        if not isinstance(listed, list):
            raise AnswerUnreadable(f"GET {PATH}: a list is expected")
        yield from (entry for entry in listed if isinstance(entry, dict))
        seen += len(listed)
        meta = payload.inner(payload.inner(answer, "meta"), "pagination") if isinstance(answer, dict) else {}
        total, token = payload.whole_number(meta, "total_size"), payload.text(meta, "page_token")
        if not listed or (seen >= total if total is not None else token is None):
            return
        # With a token, the size of the page must not be sent again.
        query = {"pageStart": number + 1} | ({"pageToken": token} if token else {"pageSize": PAGE_SIZE})
    raise AnswerUnreadable(f"GET {PATH}: more than {PAGES_MAX} pages")


def _account(fields: Mapping[str, Any]) -> Account:
    number = payload.text(fields, "number", "accountNumber")
    account_id = payload.text(fields, "id", "accountId") or number
    if account_id is None:
        raise AnswerUnreadable(f"GET {PATH}: an account without an id or number")
    balance = payload.inner(fields, "balance")
    return Account(
        id=account_id,
        number=number,
        name=payload.text(fields, "label", "name"),
        currency=payload.text(balance, "currency") or payload.text(fields, "currency"),
        status=payload.text(fields, "status") or _attribute(fields, "STATUS"),
        balance=payload.amount(balance, "amount") if balance else payload.amount(fields, "balance"),
        detail={"type": payload.text(fields, "type")},
    )


def _attribute(fields: Mapping[str, Any], name: str) -> str | None:
    listed = fields.get("accountAttributes")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return payload.text(entry, "value")
    return None
