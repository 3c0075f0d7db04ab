"""Verifying a rejected delivery again, with the secrets and keys that are known by now."""

import logging
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from receiver import banks
from receiver.banks.protocol import Callback, KeysNotKnown
from receiver.inbox.source_cache import profile_of
from receiver.inbox.verification import events
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import deliveries, intake, sources
from receiver.store.deliveries import DeliveryRecord
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import NewDelivery, NonceReused

log = logging.getLogger(__name__)


def verify_stored(runtime: Runtime, delivery_id: str) -> bool:
    """Accept a rejected delivery that is proven genuine by now, in a transaction of its own; false where it is not.

    So two writers with several deliveries in common can't wait for each other in a circle (deadlock).

    Raises:
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        row = deliveries.lock_rejected(connection, delivery_id)
        return row is not None and verify(connection, runtime.encryption, row, runtime.clock())


def verify(connection: Connection, encryption: Encryption, row: DeliveryRecord, now: datetime) -> bool:
    """Accept a rejected delivery that is proven genuine by now, in the caller's transaction; false where it is not.

    How fresh it was is judged at the time at which it came. One whose body was not stored whole can't be proven.
    """
    source = sources.find(connection, row.source)
    if source is None or row.body is None or len(row.body) < row.body_bytes:
        return False
    bank = banks.named(source.bank)
    callback = callback_of(row, bytes(row.body))
    try:
        profile, _ = profile_of(connection, encryption, source, now)
        proof = bank.prove(callback, profile, row.received_at)
        with connection.begin_nested():
            deliveries.delete_rejected(connection, row.id)
            delivery = NewDelivery(
                id=row.id,
                source_id=source.id,
                received_at=now,
                peer=row.peer,
                path=row.path,
                channel=row.channel,
                headers=row.headers,
                nonce=proof.nonce,
                signed_at=proof.signed_at,
                proof_key=proof.key_id,
                body=callback.body,
                body_sha256=row.body_sha256,
            )
            intake.record(connection, delivery, events(bank, proof, now))
    except (Refusal, KeysNotKnown, NonceReused, DecryptionFailed) as error:
        log.info("delivery %s is still not proven genuine: %s", row.id, error)
        return False
    except SQLAlchemyError:
        raise
    except Exception:
        # A fault in a verifier must not stop the deliveries behind this one.
        log.exception("verifying delivery %s again failed", row.id)
        return False
    return True


def callback_of(row: DeliveryRecord, body: bytes) -> Callback:
    """Return a stored delivery as the request that it was."""
    headers = {name: value.encode("latin-1", "replace") for name, value in row.headers.items()}
    return Callback(b"POST", row.path.encode("latin-1", "replace"), row.channel, headers, body, row.peer, hidden=True)
