"""What needed a person before there were exceptions is opened by the migration; old audit entries are found too."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import ENCRYPTION
from sqlalchemy import MetaData, Table

from receiver.store import audit, exceptions, schema
from receiver.store.database import Database
from receiver.store.exceptions import Wanted

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "0" * 64

SUBJECT = {"source_id": 7, "last_event_id": "evt_1", "created_at": TIME, "updated_at": TIME, "attempts": 1}

BEFORE: dict[str, list[dict[str, Any]]] = {
    "sources": [
        {
            "id": 7,
            "name": "bcb",
            "bank": "bcb",
            "environment": "sandbox",
            "options": {},
            "enabled": True,
            "created_at": TIME,
        }
    ],
    "deliveries": [
        {
            "id": "dlv_1",
            "source_id": 7,
            "received_at": TIME,
            "verdict": "accepted",
            "proven": True,
            "peer": "192.0.2.1",
            "path": "/webhooks/bcb",
            "headers": {},
            "body_bytes": 0,
            "body_sha256": DIGEST,
        }
    ],
    "events": [
        {
            "id": "evt_1",
            "source_id": 7,
            "delivery_id": "dlv_1",
            "identity": b"1",
            "content_sha256": DIGEST,
            "type": "bcb.deposit",
            "kind": "payment",
            "subject": "FT1",
            "payment_id": "FT1",
            "amount": "5.00",
            "currency": "USD",
            "facts": {},
            "proof": "signature",
            "proof_key": "secret:1",
            "conflict": True,
            "late": False,
            "received_at": TIME,
            "payload_sha256": DIGEST,
        }
    ],
    "subjects": [
        {**SUBJECT, "id": 1, "kind": "payment", "subject": "FT1", "status": "reversed", "agreement": "contradicted"},
        {**SUBJECT, "id": 2, "kind": "job", "subject": "J2", "status": "unknown", "agreement": "unknown_to_bank"},
        {**SUBJECT, "id": 3, "kind": "payment", "subject": "FT3", "status": "completed", "agreement": "confirmed"},
    ],
    "audit_entries": [
        {
            "at": TIME,
            "who": "cli:alice",
            "what": "payload.read",
            "key": "k",
            "digest": "1",
            "about": {"event": "evt_1", "source": "bcb"},
        }
    ],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/new/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    yield database
    database.close()


def test_what_was_so_before_is_opened_and_the_audit_log_is_found_by_its_subjects(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0014")
    with empty.write() as connection:
        for name, rows in BEFORE.items():
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(table.insert(), rows)
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        found = exceptions.listing(connection, Wanted(), below=None, limit=10)
        (look,) = audit.about(connection, "event", "evt_1", limit=10)
    assert {(str(each.kind), str(each.state), each.about, each.subject) for each in found} == {
        ("contradicted", "open", "payment", "FT1"),
        ("unknown_to_bank", "open", "job", "J2"),
        ("conflict", "open", "event", "evt_1"),
    }
    assert {each.event_id for each in found} == {"evt_1"}
    assert (look.who, look.what) == ("cli:alice", "payload.read")
