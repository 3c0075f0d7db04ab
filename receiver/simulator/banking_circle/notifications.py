"""What the bank tells: one notification for each thing that happened."""

import uuid
from datetime import datetime
from typing import Literal, get_args

from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.payments import Payment
from receiver.simulator.banking_circle.times import precise

SUBSCRIPTION_ID = "5f0f1d5c-2f0a-4f3e-9a63-0d6a3c8d1b11"

Kind = Literal[
    "IncomingPaymentProcessed",
    "OutgoingPaymentProcessed",
    "OutgoingPaymentRejected",
    "MissingFunding",
    "Reversed",
    "IncomingPaymentBooked",
    "OutgoingPaymentBooked",
    "PaymentRouting",
    "OutgoingDirectDebitPendingProcessing",
    "PaymentStatus",
    "AccountHolderVerification",
    "CaseEvents",
    "CasesEvents",
    "AgencyBankingWhitelistResult",
    "MandateStatus",
]

KINDS: tuple[str, ...] = get_args(Kind)

CLAIMED: dict[str, str] = {
    "IncomingPaymentProcessed": "Processed",
    "OutgoingPaymentProcessed": "Processed",
    "OutgoingPaymentRejected": "Rejected",
    "MissingFunding": "MissingFunding",
    "Reversed": "Reversed",
}
"""The status that each kind tells of; the others show the payment as it is."""

_WITH_PAYLOAD = frozenset(KINDS[KINDS.index("PaymentStatus") :])
"""These carry a `payload` where the others have a `payment`."""


def kinds_of(payment: Payment, status: str, booked: str) -> list[str]:
    """Return what is told when a payment comes to `status`, in order; for most statuses nothing is."""
    side = "Incoming" if payment.classification == "Incoming" else "Outgoing"
    match status:
        case "Processed" if booked == "before":
            return [f"{side}PaymentBooked", f"{side}PaymentProcessed"]
        case "Processed" if booked == "after":
            return [f"{side}PaymentProcessed", f"{side}PaymentBooked"]
        case "Processed":
            return [f"{side}PaymentProcessed"]
        case "Rejected":
            return ["OutgoingPaymentRejected"]
        case "MissingFunding" | "Reversed":
            return [status]
        case _:
            return []


def notification(payment: Payment, kind: str, config: Config, now: datetime) -> dict[str, object]:
    """Return one notification of `kind` about a payment, with an `eventId` of its own; any kind may be told."""
    told: dict[str, object] = {
        "subscriptionId": SUBSCRIPTION_ID,
        "subscriptionEventId": str(uuid.uuid5(uuid.UUID(SUBSCRIPTION_ID), kind)),
        "eventId": str(uuid.uuid4()),
        "notificationType": kind,
        "timestamp": precise(now),
    }
    status = CLAIMED.get(kind) or payment.status(now) or "PendingProcessing"
    if kind in _WITH_PAYLOAD:
        return told | {"payload": _payload(payment, kind, status)}
    shown = payment.as_json(status, now, config.errors_form)
    if kind == "OutgoingPaymentRejected":
        del shown["transfer"]
    return told | {"payment": shown}


def _payload(payment: Payment, kind: str, status: str) -> dict[str, object]:
    if kind == "PaymentStatus":
        return {"TransactionStatus": status, "AccountServicerReference": payment.transaction_reference}
    return {"RequestId": str(uuid.uuid4()), "Status": "Succeeded"}
