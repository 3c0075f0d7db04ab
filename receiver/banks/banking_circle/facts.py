"""What a Banking Circle notification tells besides status and amount: times, references, accounts, parties."""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.banks import json_values
from receiver.banks.callback import known_facts

ERRORS_LISTED = 5

PARTIES = frozenset({"debtor", "creditor"})
"""Facts that name persons."""

DIRECTIONS = {"IncomingPayment": "incoming", "OutgoingPayment": "outgoing"}
"""Where the money goes, by the beginning of a type. An outgoing direct debit is neither: it may bring money in."""

LINES = ("line1", "line2", "line3", "line4")

REFERENCES = ("accountServicerReference", "transactionReference")
"""What the bank calls its own reference of a payment."""


def reference(payment: Mapping[str, Any]) -> str | None:
    """Return the bank's own reference of a payment: in a `PaymentStatus` that is all that names it."""
    within = json_values.inner(payment, "transactionReference")
    return json_values.text(payment, *REFERENCES) or json_values.text(within, REFERENCES[0])


def direction(kind: str | None, payment: Mapping[str, Any]) -> str | None:
    """Return where the money goes: `incoming` or `outgoing`, by the payment's `classification`.

    The short form of what is booked has none: there the type says it, or an amount below zero. None where these two say
    different things.
    """
    classified = (json_values.text(payment, "classification") or "").lower()
    if classified in DIRECTIONS.values():
        return classified
    said = {word for beginning, word in DIRECTIONS.items() if (kind or "").startswith(beginning)}
    if (json_values.amount(payment, "amount") or 0) < 0:
        said.add("outgoing")
    return said.pop() if len(said) == 1 else None


def movement(payment: Mapping[str, Any], kind: str | None = None) -> dict[str, str]:
    """Return reference, direction and our own account of a payment, in a notification of that kind or by the API."""
    classification, way = json_values.text(payment, "classification"), direction(kind, payment)
    return known_facts(
        transaction_reference=reference(payment),
        classification=classification,
        direction=None if way == (classification or "").lower() else way,
        **_own_account(payment, is_incoming=way == "incoming"),
    )


def facts(fields: Mapping[str, Any], payment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a notification in camelCase tells; `payment` is what it is about, a case or mandate too."""
    kind = json_values.text(fields, "notificationType")
    bank_status = json_values.text(payment, "transactionStatus", "status")
    times = {"told_at": json_values.text(fields, "timestamp")}
    return known_facts(
        **times,
        notification_type=kind,
        subscription_id=json_values.text(fields, "subscriptionId"),
        **movement(payment, kind),
        bank_status=bank_status,
        payment_rail=json_values.text(payment, "paymentRail"),
        processed_at=json_values.text(payment, "processedTimestamp"),
        is_return=True if payment.get("return") is True else None,
        errors=_errors(payment.get("errors")),
        remittance=_remittance(payment),
        debtor=_party(payment, "debtor"),
        creditor=_party(payment, "creditor"),
        **_about(payment, kind or ""),
    )


def _own_account(payment: Mapping[str, Any], *, is_incoming: bool) -> dict[str, str | None]:
    """Return our own account: of an incoming payment the creditor's side is ours, else the debtor's."""
    names = ["debtorInformation", "creditorInformation"]
    for side in (*(json_values.inner(payment, name) for name in (reversed(names) if is_incoming else names)), payment):
        account_id, number = json_values.text(side, "accountId"), _number(side)
        if account_id or number:
            return {"account_id": account_id, "account_number": number}
    return {}


def _number(side: Mapping[str, Any]) -> str | None:
    """Return an IBAN or another number by which an account is known outside the bank."""
    account = json_values.inner(side, "account")
    direct = json_values.text(side, "iban", "viban", "accountNumber", "account")
    return json_values.text(account, "account", "iban") or direct


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
            within = json_values.inner(payment, small) or payment
            return {
                f"{small}_id": json_values.text(within, f"{small}Id"),
                f"{small}_type": json_values.text(within, "type", f"{small}Type"),
                f"{small}_status": json_values.text(within, "status", f"{small}Status"),
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
