"""From proven content to events: what it tells, or that it is not understood."""

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import datetime

from receiver.banks.json_values import NotUnderstood, decimal_text
from receiver.banks.protocol import Bank, Claim, Proof, unrecognised
from receiver.store.records import NewEvent, new_id

log = logging.getLogger(__name__)


def events(bank: Bank, proof: Proof, now: datetime) -> list[NewEvent]:
    """Return the events in a proven callback: at least one, whatever it holds."""
    return [_event(claim, proof, now) for claim in _claims(bank, proof)]


def _claims(bank: Bank, proof: Proof) -> Sequence[Claim]:
    try:
        return bank.read(proof)
    except NotUnderstood as error:
        log.warning("a genuine delivery is not understood: %s", error)
    except Exception:
        log.exception("reading a genuine delivery failed; it is stored as unrecognised")
    return [unrecognised(bank.name, proof.content)]


def _event(claim: Claim, proof: Proof, now: datetime) -> NewEvent:
    identity = json.dumps(claim.identity).encode()
    return NewEvent(
        id=new_id("evt", now),
        identity=hashlib.sha256(identity).digest(),
        content_sha256=hashlib.sha256(claim.content.encode("utf-8", "surrogatepass")).hexdigest(),
        type=claim.type,
        kind=claim.kind,
        subject=claim.subject,
        payment_id=claim.payment_id,
        claimed_status=claim.status,
        amount=decimal_text(claim.amount),
        currency=claim.currency,
        facts=dict(claim.facts),
        proof=proof.strength,
        claimed_at=claim.claimed_at,
    )
