"""Who can only write to the database: the bank's credentials go nowhere else, and forged signatures are not taken."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from bank import BankSigner, deposit
from conftest import StandingClock
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from reconcile.conftest import book, tell_by_rsa, tell_deposit
from sqlalchemy import update
from tiny_bank import TinyBank, gives, serving

from receiver.admin import credentials, diagnosis, source_changes
from receiver.admin import sources as acts
from receiver.admin.source_changes import NewSettings
from receiver.bank_client.session import BankSession
from receiver.model import CredentialChangeKind, NotPossible, ReceiverError
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import bank_tokens, credential_changes, payments, public_keys, sources
from receiver.store.credential_changes import Intent
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, CredentialChange, PublicKeys, table_of
from receiver.web import create_app
from receiver.worker.loop import Worker

WHO = "cli:test"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
def thief() -> Iterator[TinyBank]:
    """A server of whoever can write to the database; it takes down all that it is sent."""
    with serving() as server:
        gives(server, 200, {"token": "a-token"})
        yield server


def point_to(parts: Runtime, source: SourceRecord, thief: TinyBank) -> SourceRecord:
    with parts.database.write() as connection:
        sources.change(connection, source.id, base_url=thief.url)
        found = sources.find(connection, source.name)
    assert found is not None
    return found


def test_a_changed_address_gets_no_request_at_all_from_anybody(
    parts: Runtime,
    source: SourceRecord,
    simulator: Simulator,
    clock: StandingClock,
    worker: Worker,
    thief: TinyBank,
    caplog: pytest.LogCaptureFixture,
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    tampered = point_to(parts, source, thief)
    tell_deposit(parts, "FT2")
    clock.forward(3600)
    worker.run_once()
    with pytest.raises(ReceiverError):
        BankSession(parts, tampered).log_in()
    for act in ACTS:
        with pytest.raises(ReceiverError):
            act(parts)
    assert any(finding.state == "fail" and "docs/secrets.md" in finding.text for finding in diagnosis.examine(parts))
    assert "is not bound to the address" in caplog.text
    assert thief.lines == []
    with parts.database.write() as connection:
        sources.change(connection, source.id, base_url=simulator.url)
    clock.forward(3600)
    worker.run_once()
    with parts.database.read() as connection:
        first = payments.find(connection, "bcb", "payment", "FT1")
    assert first is not None
    assert first.status == "completed"


ACTS: list[Callable[[Runtime], Any]] = [
    lambda parts: credentials.rotate(parts, WHO, "bcb"),
    lambda parts: credentials.create(parts, WHO, "bcb"),
    lambda parts: credentials.permissions(parts, "bcb"),
    lambda parts: credentials.accounts(parts, "bcb"),
    lambda parts: acts.register(parts, WHO, "bcb", "https://receiver.example"),
    lambda parts: source_changes.change(parts, WHO, "bcb", NewSettings({"encoding": "base64"})),
    lambda parts: source_changes.change(parts, WHO, "bcb", NewSettings(environment="production")),
]


def test_the_shared_token_of_one_source_is_not_sent_to_another_s_bank(
    parts: Runtime, source: SourceRecord, simulator: Simulator, thief: TinyBank
) -> None:
    """The other source's bank is the writer's own, who moves the token into its row: it is not sent."""
    BankSession(parts, source).authorize()
    with parts.database.write() as connection:
        other = sources.add(
            connection,
            name="own",
            bank="bcb",
            environment="sandbox",
            base_url=thief.url,
            options={},
            now=parts.clock(),
        )
        sources.set_credentials(connection, parts.encryption, other, {"client_id": "x", "client_secret": "y"})
        bank_tokens.claim_fetching(connection, other.id, now=parts.clock(), until=parts.clock())
        table = table_of(BankToken)
        stolen = connection.execute(table.select().where(table.c.source_id == source.id)).one()
        connection.execute(
            update(table)
            .where(table.c.source_id == other.id)
            .values(sealed=stolen.sealed, expires_at=stolen.expires_at, fetching_until=None)
        )
    BankSession(parts, other).ask(lambda client: client.get("/x"))
    shown = {headers.get("Authorization") for _, _, headers, _ in thief.asked}
    assert shown == {None, "Bearer a-token"}
    assert simulator.bank is not None


def test_a_jwks_put_into_the_database_makes_no_forged_signature_good(
    parts: Runtime, simulator: Simulator, worker: Worker, clock: StandingClock
) -> None:
    worker.run_once()
    forger = rsa.generate_private_key(65537, 2048)
    key = {**jwt.algorithms.RSAAlgorithm.to_jwk(forger.public_key(), as_dict=True), "use": "sig", "kid": "rsa-1"}
    jwks = json.dumps({"keys": [key]})
    genuine = tell_by_rsa(parts, simulator, "FT1")
    for values in ({"jwks": jwks}, {"jwks": jwks, "sealed": None}, {"sealed": jwks.encode()}):
        with parts.database.write() as connection:
            connection.execute(update(table_of(PublicKeys)).values(**values))
        assert forged(parts, forger) in (401, 503)
    clock.forward(60)
    worker.run_once()
    assert (genuine, tell_by_rsa(parts, simulator, "FT2")) == (200, 200)
    assert forged(parts, forger) == 401


def forged(parts: Runtime, key: rsa.RSAPrivateKey) -> int:
    signed = BankSigner(parts.clock).sign(deposit(transactionId="FORGED"))
    text = f"{signed.headers['Bcb-Timestamp']}{signed.headers['Bcb-Nonce']}POST{signed.path}".encode() + signed.body
    made = base64.b64encode(key.sign(text, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())).decode()
    headers = {**signed.headers, "Bcb-Signature": made, "Bcb-Signature-Version": "rsa-v1"}
    return create_app(parts).test_client().post(signed.path, data=signed.body, headers=headers).status_code


def test_keys_that_are_refused_are_asked_for_ever_more_seldom(
    parts: Runtime, source: SourceRecord, thief: TinyBank, clock: StandingClock
) -> None:
    """The bank gives a JWKS that holds no usable key."""
    with parts.database.write() as connection:
        sources.change(connection, source.id, base_url=thief.url)
        moved = sources.find(connection, "bcb")
        assert moved is not None
        sources.set_credentials(connection, parts.encryption, moved, {"client_id": "x", "client_secret": "y"})
    gives(thief, 200, {"token": "a-token", "keys": [{"kty": "RSA", "use": "enc"}]})
    worker = Worker(parts)
    for _ in range(1200 // 20):
        worker.run_once()
        clock.forward(20)
    asked = [line for line in thief.lines if "jwks" in line]
    assert 4 <= len(asked) <= 6


def test_a_source_whose_credentials_do_not_open_stops_no_other_s_keys(
    parts: Runtime, source: SourceRecord, simulator: Simulator, thief: TinyBank, worker: Worker
) -> None:
    with parts.database.write() as connection:
        other = sources.add(
            connection,
            name="other",
            bank="bcb",
            environment="sandbox",
            base_url=simulator.url,
            options={},
            now=parts.clock(),
        )
        given = sources.credentials(connection, parts.encryption, source)
        assert given is not None
        sources.set_credentials(connection, parts.encryption, other, given)
    point_to(parts, source, thief)
    worker.run_once()
    with parts.database.read() as connection:
        assert public_keys.stored(connection, parts.encryption, other).jwks is not None
    assert thief.lines == []


def test_a_change_of_credentials_that_nobody_began_is_not_made(
    parts: Runtime, source: SourceRecord, simulator: Simulator, worker: Worker, clock: StandingClock
) -> None:
    """Written into the database: without a token, with another change's, or a begun one that was made another."""
    book(simulator, clock, ("Completed", 0))
    now = parts.clock()
    intent = Intent(CredentialChangeKind.CREATE, None, "192.0.2.1", "a-key", "cli:test", "a-token")
    table = table_of(CredentialChange)
    with parts.database.write() as connection:
        begun = credential_changes.begin(connection, parts.encryption, source, intent, now=now, due_at=now)
    assert begun is not None
    bound = ("kind", "client_id", "allowed_ips", "idempotency_key", "token")
    as_begun = {name: getattr(begun, name) for name in bound}
    for values in (
        {"token": None},
        {"kind": CredentialChangeKind.DISABLE, "client_id": "simulator-client"},
        {"kind": CredentialChangeKind.ROTATE, "client_id": "simulator-client"},
        {"allowed_ips": "*"},
        {"idempotency_key": "another-key"},
    ):
        as_begun = {
            name: getattr(begun, name) for name in ("kind", "client_id", "allowed_ips", "idempotency_key", "token")
        }
        with parts.database.write() as connection:
            connection.execute(update(table).values(**{**as_begun, "due_at": parts.clock(), **values}))
        clock.forward(120)
        worker.run_once()
    assert not [seen for seen in simulator.requests.entries() if "/credentials" in seen.path]


def test_a_change_by_the_command_is_no_tampering(
    parts: Runtime, simulator: Simulator, worker: Worker, clock: StandingClock
) -> None:
    book(simulator, clock, ("Completed", 0))
    source_changes.change(parts, WHO, "bcb", NewSettings({"allowed_addresses": "127.0.0.1"}, environment="production"))
    tell_deposit(parts)
    worker.run_once()
    with parts.database.read() as connection:
        found = payments.find(connection, "bcb", "payment", "FT1")
    assert found is not None
    assert found.status == "completed"


def test_what_cannot_be_set_is_refused_and_changes_nothing(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sources.change(connection, source.id, environment="production")
    with pytest.raises(NotPossible, match="receiver source credentials bcb"):
        source_changes.change(parts, WHO, "bcb", NewSettings({"encoding": "utf8"}))
    with parts.database.read() as connection:
        found = sources.find(connection, "bcb")
    assert found is not None
    assert dict(found.options) == {}
