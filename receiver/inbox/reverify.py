"""Verifying a rejected delivery again, with the secrets and keys that are known by now."""

import hashlib
import logging
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from receiver import banks
from receiver.banks.callback import Callback, Profile, Stale
from receiver.banks.protocol import Bank, KeysNotKnown
from receiver.inbox.decompression import BodyTooLarge, CodingBroken, decode
from receiver.inbox.source_cache import profile_of
from receiver.inbox.verification import coding_to_undo, events
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import deliveries, intake, sources
from receiver.store.database import retried
from receiver.store.deliveries import DeliveryRecord
from receiver.store.encryption import DecryptionFailed
from receiver.store.late import NewLate, hold
from receiver.store.records import NewDelivery, NonceReused

log = logging.getLogger(__name__)


NOT_REJECTED = (Verdict.ACCEPTED, Verdict.LATE)
"""What may come of a rejected delivery that is proven genuine by now."""


@retried
def verify_stored(runtime: Runtime, delivery_id: str) -> Verdict | None:
    """Verify a rejected delivery again, in a transaction of its own: see `verify`.

    So two writers with several deliveries in common can't wait for each other in a circle (deadlock).

    Raises:
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        row = deliveries.lock_rejected(connection, delivery_id)
        return Verdict.REJECTED if row is None else verify(connection, runtime, row, runtime.clock())


def verify(connection: Connection, runtime: Runtime, row: DeliveryRecord, now: datetime) -> Verdict | None:
    """Say what a rejected delivery is by now, and store it as that, in the caller's transaction.

    It is accepted where it is proven genuine, and late where only its time is off. How fresh it was is judged at the
    time at which it came. None where nothing can be proven, because it was not stored whole.
    """
    source = sources.find(connection, row.source)
    if row.body is None or len(row.body) < row.body_bytes or row.has_cut_path:
        return None
    if source is None:
        return Verdict.REJECTED
    try:
        profile, _ = profile_of(connection, runtime.encryption, source, now)
        bank = banks.named(source.bank)
        coded = callback_of(row, bytes(row.body))
        # As where it came in: what can't be genuine by its head is not unpacked.
        bank.check_head(coded, profile)
        callback = uncoded(runtime, bank, coded)
        with connection.begin_nested():
            return _store_anew(connection, profile, bank, row, callback, now)
    except (NonceReused, DecryptionFailed) as error:
        log.info("delivery %s is not taken: %s", row.id, error)
        return Verdict.REJECTED
    except (Refusal, KeysNotKnown) as error:
        log.info("delivery %s is still not proven genuine: %s", row.id, error)
    except SQLAlchemyError:
        raise
    except Exception:
        # A fault in a verifier must not stop the deliveries behind this one.
        log.exception("verifying delivery %s again failed", row.id)
    # Which headers prove is the bank's own matter: one that was cut may have been needed.
    return None if row.has_cut_headers else Verdict.REJECTED


def _store_anew(
    connection: Connection, profile: Profile, bank: Bank, row: DeliveryRecord, callback: Callback, now: datetime
) -> Verdict:
    """Store a delivery as what it is proven to be, in place of the rejected one.

    Raises:
        Refusal
        KeysNotKnown
        NonceReused
    """
    stale: Stale | None = None
    try:
        proof = bank.prove(callback, profile, row.received_at)
    except Stale as refusal:
        if not refusal.has_one_cut:
            raise
        stale, proof = refusal, refusal.proof
    deliveries.delete_rejected(connection, row.id)
    delivery = NewDelivery(
        id=row.id,
        source_id=row.source_id,
        received_at=row.received_at if stale else now,
        peer=row.peer,
        path=row.path,
        channel=row.channel,
        headers=row.headers,
        nonce=proof.nonce,
        signed_at=proof.signed_at,
        proof_key=proof.key_id,
        body=callback.body,
        body_sha256=hashlib.sha256(callback.body).hexdigest(),
    )
    found = events(bank, proof, now)
    if stale is None:
        intake.record(connection, delivery, found)
        return Verdict.ACCEPTED
    outcome = hold(connection, NewLate(delivery, found, stale.reason, stale.detail))
    if isinstance(outcome, NonceReused):
        raise outcome
    return Verdict.LATE if outcome.waits else Verdict.ACCEPTED


def callback_of(row: DeliveryRecord, body: bytes) -> Callback:
    """Return a stored delivery as the request that it was."""
    headers = {name: value.encode("latin-1", "replace") for name, value in row.headers.items()}
    return Callback(b"POST", row.path.encode("latin-1", "replace"), row.channel, headers, body, row.peer, hidden=True)


def uncoded(runtime: Runtime, bank: Bank, callback: Callback) -> Callback:
    """Return a stored callback with its body free of its content coding, within the limit for one that comes in.

    What was refused by its address, path or headers is stored as it came. Of what was refused later the coding was
    undone before it was stored, and its header is there all the same: such a body is not what the header says.

    Raises:
        Refusal: the coding is none that its bank documents, or too much comes out of it.
    """
    coding = coding_to_undo(callback, bank)
    if coding is None:
        return callback
    try:
        body = decode(callback.body, coding, max(runtime.settings.max_body_bytes, bank.body_bytes))
    except CodingBroken:
        return callback
    except BodyTooLarge as error:
        raise Refusal("body_too_large", str(error)) from error
    return replace(callback, body=body)
