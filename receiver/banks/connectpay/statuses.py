"""ConnectPay's words for states and events, and ours. What is not listed is `unknown`, which is not final."""

import re
from dataclasses import dataclass

PAYMENT_STATUSES = {"RCVD": "pending", "PDNG": "pending", "ACSC": "completed", "RJCT": "rejected"}


@dataclass(frozen=True)
class Kind:
    """A type of event: its name here, and the bank's status that it claims of a payment."""

    name: str
    bank_status: str | None = None


KINDS = {
    "outgoingpayment.created": Kind("outgoing_payment.created", "RCVD"),
    "outgoingpayment.processing": Kind("outgoing_payment.processing", "PDNG"),
    "outgoingpayment.completed": Kind("outgoing_payment.completed", "ACSC"),
    "outgoingpayment.rejected": Kind("outgoing_payment.rejected", "RJCT"),
    "incomingpayment.completed": Kind("incoming_payment.completed", "ACSC"),
    "account.balancechanged": Kind("account.balance_changed"),
    "baaspersonidv.approved": Kind("person_idv.approved"),
    "baaspersonidv.declined": Kind("person_idv.declined"),
    "baasperson.docexpiry": Kind("person.doc_expiry"),
    "baasapplication.compliancereview": Kind("application.compliance_review"),
    "baasapplication.applicationapproved": Kind("application.approved"),
    "baasapplication.applicationdeclined": Kind("application.declined"),
}
"""By the bank's name in small letters, because its casing varies."""

FAMILIES = {"baascardapplication": "card_application", "baascard": "card"}
"""Documented as `BaaSCardApplication.*` and `BaaSCard.*`: whatever stands behind the full stop."""

_WORD = re.compile(r"[a-z0-9_]{1,40}")


def kind(event_type: str) -> Kind | None:
    """Return what a type of event means here, however it is cased; none where it is not known."""
    written = event_type.strip().lower()
    family, _, word = written.partition(".")
    if family in FAMILIES and _WORD.fullmatch(word):
        return Kind(f"{FAMILIES[family]}.{word}")
    return KINDS.get(written)


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().upper(), "unknown")
