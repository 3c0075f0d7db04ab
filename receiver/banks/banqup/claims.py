"""What Banqup's messages tell. Most fields of the envelope are optional, and no time is in it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import payload
from receiver.banks.bank import Claim
from receiver.banks.banqup.statuses import PAYMENT_STATUSES, State, state

UNRECOGNISED = "banqup.unrecognised"

CATEGORIES = ("document", "entity", "file", "payment", "paymentInformation", "space", "spaceAsset")

_NAMES = {name.lower(): re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name) for name in CATEGORIES}


def read(body: bytes) -> Sequence[Claim]:
    """Return the claim in a genuine message: one event by its `id`, or by its body where it has none.

    Raises:
        NotUnderstood: it is no JSON object.
    """
    fields = payload.parse_object(body)
    content = payload.canonical(fields)
    message_id = payload.text(fields, "id")
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    identity = ("message", message_id) if message_id is not None else ("body", digest)
    category = (payload.text(fields, "category") or "").lower()
    if category != "payment":
        kind = f"banqup.{_NAMES[category]}" if category in _NAMES else UNRECOGNISED
        return [Claim(kind, identity, content, facts=_facts(fields, None))]
    payment_id = payload.text(fields, "resourceId") or payload.first(fields, "paymentId")
    found = state(fields)
    return [
        Claim(
            type=_payment_type(found),
            identity=identity,
            content=content,
            kind="payment" if payment_id is not None else "none",
            subject=payment_id,
            payment_id=payment_id,
            status=found.status if found else None,
            facts=_facts(fields, found),
        )
    ]


def _payment_type(found: State | None) -> str:
    word = found.word.upper() if found else ""
    return f"banqup.payment.{word.lower()}" if word in PAYMENT_STATUSES else "banqup.payment"


def _facts(fields: Mapping[str, Any], found: State | None) -> dict[str, Any]:
    data = payload.inner(fields, "data")
    status = payload.inner(fields, "status") or payload.inner(data, "status")
    reasons = status.get("reason")
    facts: dict[str, Any] = {
        "message_id": payload.text(fields, "id"),
        "resource_id": payload.text(fields, "resourceId"),
        "message_type": payload.text(fields, "type"),
        "space_id": payload.first(fields, "spaceId"),
        "related_document_id": payload.text(data, "relatedDocumentId"),
        "bank_status": found.bank_status if found else None,
        "reasons": [text for reason in reasons if (text := payload.text({"": reason}, ""))]
        if isinstance(reasons, list)
        else None,
    }
    # `PENDING:https://…`: the address has colons of its own.
    state_of_auth, colon, address = (payload.text(status, "auth") or "").partition(":")
    if colon:
        facts |= {"auth_state": state_of_auth, "auth_url": address}
    return {name: fact for name, fact in facts.items() if fact}
