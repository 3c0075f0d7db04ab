"""What a message tells: its id says which event it is, its field `type` of what kind."""

import hashlib
import re
from collections.abc import Sequence

from receiver.banks import payload
from receiver.banks.bank import Claim, Proof
from receiver.banks.payload import NotUnderstood
from receiver.banks.standard_webhooks.proof import ID

UNRECOGNISED = "standard_webhooks.unrecognised"

_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,98}[A-Za-z0-9])?")


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a message: one event, whatever its body holds, because it has an id of its own."""
    message_id = proof.headers[ID]
    kind, content, facts = _told(proof.content)
    return [
        Claim(
            type=kind,
            identity=("message", message_id),
            content=content,
            facts={"message_id": message_id, **facts},
        )
    ]


def _told(body: bytes) -> tuple[str, str, dict[str, str]]:
    try:
        fields = payload.parse_object(body)
        content = payload.canonical(fields)
    except NotUnderstood:
        return UNRECOGNISED, hashlib.sha256(body).hexdigest(), {}
    found = payload.text(fields, "type")
    kind = f"standard_webhooks.{found}" if found is not None and _TYPE.fullmatch(found) else UNRECOGNISED
    occurred = payload.text(fields, "timestamp")
    return kind, content, {"occurred_at": occurred} if occurred is not None else {}
