"""What a Banking Circle notification tells besides status and amount: times, references, accounts, parties."""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.banks import json_values
from receiver.banks.callback import known_facts

ERRORS_LISTED = 5

PARTIES = frozenset({"debtor", "creditor"})
"""Facts that name persons."""

LINES = ("line1", "line2", "line3", "line4")

_REFERENCES = ("AccountServicerReference", "accountServicerReference")


def reference(payment: Mapping[str, Any]) -> str | None:
    """Return the bank's own reference of a payment: in a `PaymentStatus` that is all that names it."""
    within = json_values.inner(payment, "TransactionReference")
    return json_values.text(payment, *_REFERENCES, "transactionReference") or json_values.text(within, *_REFERENCES)


def facts(fields: Mapping[str, Any], payment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a notification tells; `payment` is what it is about, a case or mandate too."""
    kind = json_values.text(fields, "notificationType")
    bank_status = json_values.text(payment, "TransactionStatus", "transactionStatus", "status")
    times = {"told_at": json_values.text(fields, "timestamp")}
    return known_facts(
        **times,
        notification_type=kind,
        subscription_id=json_values.text(fields, "subscriptionId"),
        transaction_reference=reference(payment),
        classification=json_values.text(payment, "classification"),
        bank_status=bank_status,
        payment_rail=json_values.text(payment, "paymentRail"),
        processed_at=json_values.text(payment, "processedTimestamp"),
        is_return=True if payment.get("return") is True else None,
        errors=_errors(payment.get("errors")),
        remittance=_remittance(payment),
        **_own_account(payment),
        debtor=_party(payment, "debtor"),
        creditor=_party(payment, "creditor"),
        **_about(payment, kind or ""),
    )


def _own_account(payment: Mapping[str, Any]) -> dict[str, str | None]:
    """Return our own account: of an incoming payment the creditor's side is ours, else the debtor's."""
    is_incoming = (json_values.text(payment, "classification") or "").lower() == "incoming"
    names = ["debtorInformation", "creditorInformation"]
    for side in (*(json_values.inner(payment, name) for name in (reversed(names) if is_incoming else names)), payment):
        account_id, number = json_values.text(side, "accountId", "AccountId"), _number(side)
        if account_id or number:
            return {"account_id": account_id, "account_number": number}
    return {}


def _number(side: Mapping[str, Any]) -> str | None:
    """Return an IBAN or another number by which an account is known outside the bank."""
    account = json_values.inner(side, "account") or json_values.inner(side, "Account")
    direct = json_values.text(side, "iban", "viban", "accountNumber", "account")
    return json_values.text(account, "account", "Account", "iban") or direct


def _party(payment: Mapping[str, Any], side: str) -> dict[str, Any] | None:
    """Return the name and the account of a side of the transfer."""
    transfer = json_values.inner(payment, "transfer")
    account = json_values.inner(transfer, f"{side}Account")
    number = json_values.text(account, "account", "iban") or json_values.text(transfer, f"{side}Account")
    return known_facts(name=json_values.text(transfer, f"{side}Name"), account=number) or None


def _remittance(payment: Mapping[str, Any]) -> str | None:
    """Return the text that the payer gave along, its lines one below the other."""
    transfer = json_values.inner(payment, "transfer")
    lines = [line for line in _lines(json_values.inner(transfer, "remittanceInformation")) if line]
    return "\n".join(lines) or json_values.text(transfer, "remittanceInformation")


def _lines(given: Mapping[str, Any]) -> Iterator[str | None]:
    for name in LINES:
        yield json_values.text(given, name)


def _about(payment: Mapping[str, Any], kind: str) -> dict[str, str | None]:
    """Return the id and the state of a case or mandate. Their fields are not documented; the likely ones are read."""
    for word in ("Case", "Mandate"):
        if kind.startswith(word):
            small = word.lower()
            within = json_values.inner(payment, small) or json_values.inner(payment, word) or payment
            state = json_values.text(within, "status", "Status", f"{small}Status", f"{word}Status")
            return {
                f"{small}_id": json_values.text(within, f"{small}Id", f"{word}Id"),
                f"{small}_type": json_values.text(within, "type", "Type", f"{small}Type", f"{word}Type"),
                f"{small}_status": state,
            }
    return {}


def _errors(value: Any) -> list[str] | None:
    """Reasons come as a list, as one text, or not at all; an entry is a text, or an object with a code and words."""
    listed = value if isinstance(value, list) else [value]
    texts = []
    for entry in listed[:ERRORS_LISTED]:
        fields = entry if isinstance(entry, dict) else {"text": entry}
        names = (
            "errorCode",
            "code",
            "propertyName",
            "errorMessage",
            "errorText",
            "errorDescription",
            "message",
            "text",
        )
        words = [word for name in names if (word := json_values.text(fields, name))]
        texts += [": ".join(words)] if words else []
    return texts or None
