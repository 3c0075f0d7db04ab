"""Rejected deliveries verified again, with the secrets that are known by now."""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypedDict

import jwt
import others
import pytest
from bank import SECRET, BankSigner, Signed, deposit
from conftest import StandingClock, add_source
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from lock_waits import wait_until
from lock_waits import waiting as waiting_for_locks
from replay.sending import found, log, planned, post, run, started, tell, work_off
from store import made
from timers import Timer
from web.connectpay import send

from receiver.admin import deliveries as acts
from receiver.admin import source_changes
from receiver.admin.source_changes import NewSettings
from receiver.banks import bcb
from receiver.inbox import reverify
from receiver.inbox.explain import NotExplained
from receiver.model import Verdict
from receiver.projection.projector import catch_up
from receiver.replay import run as runs
from receiver.runtime import Runtime
from receiver.store import deliveries, events, payments, public_keys, signing_secrets, sources
from receiver.store.deliveries import DeliveryRecord, Listed
from receiver.store.sources import SourceRecord
from receiver.web import create_app


class Verifying(TypedDict):
    """Which replay verifies rejected deliveries again."""

    target: str


AGAIN: Verifying = {"target": "verification"}


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    """The source `bcb`, whose secret nobody has set yet."""
    return add_source(parts, secret=None)


def set_secret(parts: Runtime, source: SourceRecord, secret: str = SECRET) -> None:
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, secret, now=parts.clock(), grace_seconds=0)


def rejected(parts: Runtime) -> list[DeliveryRecord]:
    with parts.database.read() as connection:
        return deliveries.rejected(connection, None, below=None, limit=100)


def waiting(parts: Runtime) -> list[DeliveryRecord]:
    with parts.database.read() as connection:
        return deliveries.listing(connection, Listed((Verdict.LATE,)), below=None, limit=100)


def test_a_delivery_rejected_for_a_missing_secret_is_accepted_once_it_is_set(
    parts: Runtime, source: SourceRecord, bank: BankSigner, clock: StandingClock
) -> None:
    assert tell(parts, bank, "FT1") == 503
    (delivery,) = rejected(parts)
    set_secret(parts, source)
    clock.forward(60)
    row = run(parts, **AGAIN)
    assert (row.state, row.total, row.done, row.failed) == ("done", 1, 1, 0)
    assert rejected(parts) == []
    (entry,) = log(parts)
    assert (entry.type, entry.subject, entry.replay_id) == ("bcb.deposit", "FT1", None)
    with parts.database.read() as connection:
        event = events.find(connection, entry.event_id or "")
        payment = payments.find(connection, "bcb", "payment", "FT1")
        (told,) = events.deliveries_of(connection, entry.event_id or "")
        assert events.raw(connection, entry.event_id or "") == bank.sign(deposit(transactionId="FT1")).body
    assert event is not None
    assert (event.proof, event.proof_key, event.received_at) == ("signature", "secret:1", clock())
    assert (told.id, told.verdict, told.reason) == (delivery.id, "accepted", None)
    assert payment is not None
    assert payment.due_at == clock()


def test_how_fresh_it_was_is_judged_when_it_came(
    parts: Runtime, source: SourceRecord, bank: BankSigner, clock: StandingClock
) -> None:
    tell(parts, bank, "FT1")
    stale = str(int(clock().timestamp()) - 301)
    tell(parts, bank, "FT2", timestamp=stale)
    set_secret(parts, source)
    clock.forward(30 * 86400)
    row = run(parts, **AGAIN)
    assert (row.done, row.failed) == (2, 0)
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert rejected(parts) == []
    (late,) = waiting(parts)
    assert (late.reason, late.detail, late.received_at) == (
        "timestamp_stale",
        "301 s old, 300 s allowed",
        clock() - timedelta(days=30),
    )
    catch_up(parts.database)
    with parts.database.read() as connection:
        payment = payments.find(connection, "bcb", "payment", "FT2")
    assert payment is not None
    assert payment.due_at is not None
    assert payment.due_at <= clock()


def test_one_that_is_still_wrong_stays_rejected_and_counts_as_failed(
    parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    signed = bank.sign(deposit(transactionId="FT1"))
    signed.headers["Bcb-Signature"] = "A" * 43 + "="
    assert post(parts, signed) == 503
    tell(parts, bank, "FT2")
    before = rejected(parts)
    set_secret(parts, source)
    row = run(parts, **AGAIN)
    assert (row.state, row.done, row.failed) == ("done", 2, 1)
    assert [entry.subject for entry in log(parts)] == ["FT2"]
    (left,) = rejected(parts)
    assert left in before


def test_one_whose_body_was_not_kept_whole_fails(parts: Runtime, source: SourceRecord, bank: BankSigner) -> None:
    settings = parts.settings.model_copy(update={"rejected_body_bytes": 40})
    assert tell(Runtime(settings, parts.database, parts.encryption, parts.clock), bank, "FT1") == 503
    set_secret(parts, source)
    row = run(parts, **AGAIN)
    assert (row.done, row.failed, log(parts)) == (1, 1, [])
    assert len(rejected(parts)) == 1


def test_one_whose_nonce_came_with_another_body_meanwhile_fails(
    parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    assert tell(parts, bank, "FT1", nonce="n-1") == 503
    set_secret(parts, source)
    assert tell(parts, bank, "FT2", nonce="n-1") == 200
    row = run(parts, **AGAIN)
    assert (row.done, row.failed) == (1, 1)
    assert [entry.subject for entry in log(parts)] == ["FT2"]
    assert len(rejected(parts)) == 1


def test_one_that_the_bank_sent_again_meanwhile_is_doubled_nowhere(
    parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    signed = bank.sign(deposit(transactionId="FT1"))
    assert post(parts, signed) == 503
    set_secret(parts, source)
    assert post(parts, signed) == 200
    row = run(parts, **AGAIN)
    assert (row.done, row.failed) == (1, 0)
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert rejected(parts) == []


def test_an_event_that_came_in_another_delivery_meanwhile_is_told_once(
    parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    tell(parts, bank, "FT1")
    set_secret(parts, source)
    assert tell(parts, bank, "FT1") == 200
    run(parts, **AGAIN)
    (entry,) = log(parts)
    with parts.database.read() as connection:
        told = events.deliveries_of(connection, entry.event_id or "")
    assert [row.verdict for row in told] == ["accepted", "duplicate"]


def test_another_secret_than_that_of_the_delivery_proves_nothing(
    parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    tell(parts, bank, "FT1")
    set_secret(parts, source, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=")
    assert run(parts, **AGAIN).failed == 1
    assert log(parts) == []


def test_one_delivery_a_source_or_a_time_can_be_chosen(
    parts: Runtime, source: SourceRecord, bank: BankSigner, clock: StandingClock
) -> None:
    other = add_source(parts, "other", secret=None)
    begin = clock()
    tell(parts, bank, "FT1")
    clock.forward(60)
    tell(parts, bank, "FT2")
    tell(parts, bank, "FT3", path="/webhooks/other")
    for each in (source, other):
        set_secret(parts, each)
    assert planned(parts, **AGAIN).matched.number == 3
    assert planned(parts, **AGAIN, received_after=clock()).matched.number == 2
    oldest = rejected(parts)[-1]
    assert run(parts, **AGAIN, delivery_ids=(oldest.id,)).done == 1
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert run(parts, **AGAIN, sources=("other",)).done == 1
    assert [entry.subject for entry in log(parts)] == ["FT1", "FT3"]
    assert run(parts, **AGAIN, received_before=begin).done == 0


def test_a_part_that_takes_long_ends_and_the_next_one_goes_on(
    parts: Runtime, source: SourceRecord, bank: BankSigner, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FT1", "FT2", "FT3"):
        tell(parts, bank, name)
        clock.forward(0.001)
    set_secret(parts, source)
    replay_id = started(parts, planned(parts, **AGAIN))
    timer = Timer()
    slow = runs.Runner(parts, timer)
    real = bcb.BANK.prove

    def prove(*given: Any) -> Any:
        timer.now += runs.PART_SECONDS * 0.6
        return real(*given)

    monkeypatch.setattr(bcb.BANK, "prove", prove)
    assert slow.run_due() == 1
    row = found(parts, replay_id)
    assert (row.state, row.done) == ("running", 2)
    assert [entry.subject for entry in log(parts)] == ["FT1", "FT2"]
    assert slow.run_due() == 1
    row = found(parts, replay_id)
    assert (row.state, row.total, row.done, row.failed) == ("done", 3, 3, 0)
    assert [entry.subject for entry in log(parts)] == ["FT1", "FT2", "FT3"]
    assert slow.run_due() == 0


def test_what_is_rejected_after_the_plan_is_no_part_of_it(
    parts: Runtime, source: SourceRecord, bank: BankSigner, clock: StandingClock
) -> None:
    tell(parts, bank, "FT1")
    plan = planned(parts, **AGAIN)
    clock.forward(0.001)
    tell(parts, bank, "FT2")
    set_secret(parts, source)
    replay_id = started(parts, plan)
    work_off(parts)
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert found(parts, replay_id).done == plan.matched.number == 1


@pytest.mark.parametrize("has_nonce", [True, False], ids=["nonce", "no nonce"])
def test_what_another_writer_verifies_meanwhile_is_passed_over(
    parts: Runtime,
    bank: BankSigner,
    clock: StandingClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_nonce: bool,
) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    monkeypatch.setattr(runs, "PART", 2)
    source = add_source(parts, secret=None) if has_nonce else others.add(parts, "connectpay", None)
    client = create_app(parts).test_client()
    for name in ("FT1", "FT2", "FT3"):
        if has_nonce:
            tell(parts, bank, name)
        else:
            send(client, {"eventType": "IncomingPayment.Completed", "transactionId": name})
        clock.forward(0.001)
    set_secret(parts, source, SECRET if has_nonce else others.TOKEN)
    first = rejected(parts)[-1]
    replay_id = started(parts, planned(parts, **AGAIN))
    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            locked = deliveries.lock_rejected(connection, first.id)
            assert locked is not None
            assert reverify.verify(connection, parts, locked, clock()) == Verdict.ACCEPTED
            working = pool.submit(work_off, parts)
            wait_until(lambda: waiting_for_locks(parts))
        assert working.result() == 2
    row = found(parts, replay_id)
    assert (row.state, row.total, row.done, row.failed, row.missing) == ("done", 3, 2, 0, 1)
    assert len(log(parts)) == 3
    assert f"replay {replay_id}: 1 that its plan saw are no longer among the rejected" in caplog.text


def test_a_fault_in_a_verifier_is_a_failure_and_stops_nothing(
    parts: Runtime, source: SourceRecord, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(parts, bank, "FT1", nonce="bad")
    tell(parts, bank, "FT2", nonce="good")
    set_secret(parts, source)
    real = bcb.BANK.prove

    def faulty(callback: Any, *given: Any) -> Any:
        if callback.headers["bcb-nonce"] == b"bad":
            raise ZeroDivisionError
        return real(callback, *given)

    monkeypatch.setattr(bcb.BANK, "prove", faulty)
    row = run(parts, **AGAIN)
    assert (row.state, row.done, row.failed) == ("done", 2, 1)
    assert [entry.subject for entry in log(parts)] == ["FT2"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "wrong", [{"encoding": "utf8"}, {"channels": ["jobs"]}, {"allowed_addresses": ["203.0.113.0/24"]}]
)
@pytest.mark.parametrize("age", [0, 600])
def test_what_was_refused_while_an_option_was_wrong_is_accepted_or_late_once_it_is_right(
    parts: Runtime, bank: BankSigner, clock: StandingClock, wrong: dict[str, Any], age: int
) -> None:
    source = add_source(parts, **wrong)
    at = str(int(clock().timestamp()) - age)
    assert tell(parts, bank, "FT1", path="/webhooks/bcb/deposits", timestamp=at) == 401
    assert acts.reverify(parts, "cli:test").verified == 1
    with parts.database.write() as connection:
        sources.change(connection, source.id, options={})
    clock.forward(86400)
    done = acts.reverify(parts, "cli:test")
    assert (len(done.accepted), len(done.late)) == ((0, 1) if age else (1, 0))
    assert [entry.subject for entry in log(parts)] == ([] if age else ["FT1"])


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "bare deflate": bare_deflate,
}


def packed(signed: Signed, packer: str = "gzip") -> Signed:
    """The same callback in a content coding."""
    coding = packer.removeprefix("bare ")
    return Signed(signed.path, PACKERS[packer](signed.body), {**signed.headers, "Content-Encoding": coding})


def source_with(parts: Runtime, options: dict[str, Any]) -> None:
    with parts.database.write() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        sources.change(connection, source.id, options=options)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize(
    "wrong", [{"encoding": "utf8"}, {"channels": ["jobs"]}, {"allowed_addresses": ["203.0.113.0/24"]}]
)
def test_one_in_a_content_coding_is_accepted_once_the_option_is_right_and_so_are_its_retries(
    parts: Runtime, bank: BankSigner, wrong: dict[str, Any], packer: str
) -> None:
    """By its head it is refused with the coding, by its signature without; the signature is over what is coded."""
    add_source(parts, **wrong)
    signed = bank.sign(deposit(transactionId="FT1"), path="/webhooks/bcb/deposits")
    coded = packed(signed, packer)
    assert post(parts, coded) == 401
    (row,) = rejected(parts)
    option = acts.explain(parts, "cli:test", row.id).report
    assert option.commands[-1] == "receiver deliveries reverify --source bcb"
    source_with(parts, {})
    (accepted,) = acts.reverify(parts, "cli:test").accepted
    (entry,) = log(parts)
    assert (entry.type, entry.subject) == ("bcb.deposit", "FT1")
    with parts.database.read() as connection:
        stored = deliveries.find(connection, accepted)
        assert events.raw(connection, entry.event_id or "") == signed.body
    assert stored is not None
    assert (stored.body_sha256, stored.body_bytes) == (hashlib.sha256(signed.body).hexdigest(), len(signed.body))
    assert [post(parts, retry) for retry in (coded, signed)] == [200, 200]
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert rejected(parts) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_late_one_that_was_refused_by_its_head_is_held_without_its_content_coding(
    parts: Runtime, bank: BankSigner, clock: StandingClock
) -> None:
    add_source(parts, allowed_addresses=["203.0.113.0/24"])
    signed = bank.sign(deposit(transactionId="FT1"), timestamp=str(int(clock().timestamp()) - 600))
    assert post(parts, packed(signed)) == 401
    source_with(parts, {})
    assert len(acts.reverify(parts, "cli:test").late) == 1
    (late,) = waiting(parts)
    assert bytes(late.body or b"") == signed.body
    acts.accept(parts, "cli:test", late.id, "the payer has shown the transfer")
    assert post(parts, packed(signed)) == 200
    assert [entry.subject for entry in log(parts)] == ["FT1"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_more_comes_out_of_a_content_coding_than_a_callback_may_have(parts: Runtime, bank: BankSigner) -> None:
    add_source(parts, allowed_addresses=["203.0.113.0/24"])
    large = deposit(transactionDetails="0" * parts.settings.max_body_bytes)
    assert post(parts, packed(bank.sign(large))) == 401
    source_with(parts, {})
    done = acts.reverify(parts, "cli:test")
    assert (done.verified, list(done.accepted), list(done.cut)) == (1, [], [])
    (row,) = rejected(parts)
    with pytest.raises(NotExplained, match="once unpacked"):
        acts.explain(parts, "cli:test", row.id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_is_unpacked_of_what_its_head_alone_refuses(
    parts: Runtime, bank: BankSigner, caplog: pytest.LogCaptureFixture
) -> None:
    add_source(parts, allowed_addresses=["203.0.113.0/24"])
    large = deposit(transactionDetails="0" * parts.settings.max_body_bytes)
    assert post(parts, packed(bank.sign(large))) == 401
    caplog.set_level("INFO")
    assert run(parts, **AGAIN).failed == 1
    (row,) = rejected(parts)
    assert f"delivery {row.id} is still not proven genuine: address_not_allowed" in caplog.text
    assert "once unpacked" not in caplog.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("coding", ["br", "gzip, gzip"])
def test_a_content_coding_that_is_not_undone_stays_rejected_and_no_secret_is_blamed(
    parts: Runtime, bank: BankSigner, coding: str
) -> None:
    add_source(parts)
    signed = bank.sign(deposit())
    signed.headers["Content-Encoding"] = coding
    assert post(parts, signed) == 415
    assert acts.reverify(parts, "cli:test").accepted == []
    (row,) = rejected(parts)
    with pytest.raises(NotExplained, match="content coding"):
        acts.explain(parts, "cli:test", row.id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_broken_content_coding_is_what_is_blamed(parts: Runtime, bank: BankSigner) -> None:
    add_source(parts)
    coded = packed(bank.sign(deposit()))
    assert post(parts, Signed(coded.path, coded.body[:-1], coded.headers)) == 401
    (row,) = rejected(parts)
    assert "not what its Content-Encoding says" in acts.explain(parts, "cli:test", row.id).report.remarks[-1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_of_a_bank_that_documents_no_content_coding_none_is_taken_later_either(parts: Runtime) -> None:
    others.add(parts, "connectpay", others.TOKEN, allowed_addresses=["127.0.0.1"])
    body = gzip.compress(json.dumps(others.outgoing()).encode())
    headers = {"Authorization": others.TOKEN, "Content-Encoding": "gzip"}
    assert post(parts, Signed("/webhooks/connectpay", body, headers)) == 415
    assert acts.reverify(parts, "cli:test").accepted == []
    assert (log(parts), len(rejected(parts))) == ([], 1)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 4096)


def by_rsa(signed: Signed, key: rsa.RSAPrivateKey) -> Signed:
    """The same callback with an RSA signature."""
    headers = signed.headers
    text = f"{headers['Bcb-Timestamp']}{headers['Bcb-Nonce']}POST{signed.path}".encode() + signed.body
    made = key.sign(text, padding.PSS(padding.MGF1(SHA256()), salt_length=32), SHA256())
    more = {"Bcb-Signature": base64.b64encode(made).decode(), "Bcb-Signature-Version": "rsa-v1"}
    return Signed(signed.path, signed.body, headers | more)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_long_rsa_signature_that_was_refused_by_its_address_is_accepted_once_the_list_is_right(
    parts: Runtime, bank: BankSigner, rsa_key: rsa.RSAPrivateKey
) -> None:
    source = add_source(parts, allowed_addresses=["203.0.113.0/24"])
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)
    with parts.database.write() as connection:
        keys = json.dumps({"keys": [{**jwk, "kid": "rsa-1"}]})
        public_keys.put(connection, parts.encryption, source, parts.clock(), jwks=keys, error=None)
    path = "/webhooks/bcb/" + "d" * 1000
    signed = by_rsa(bank.sign(deposit(transactionId="FT1"), path), rsa_key)
    assert post(parts, signed) == 401
    cut = by_rsa(bank.sign(deposit(transactionId="FT2"), path + "d" * 4000), rsa_key)
    crowded = by_rsa(bank.sign(deposit(transactionId="FT3")), rsa_key)
    crowded.headers.update({f"X-{number}": "v" * 600 for number in range(30)})
    assert [post(parts, each) for each in (cut, crowded)] == [401, 401]
    source_changes.change(parts, "cli:test", "bcb", NewSettings(unset=["allowed_addresses"]))
    done = acts.reverify(parts, "cli:test")
    assert (done.verified, len(done.accepted), len(done.cut)) == (3, 1, 2)
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    for left in done.cut:
        assert "only a part was kept" in " ".join(acts.explain(parts, "cli:test", left).report.remarks)


def test_what_an_earlier_release_refused_as_stale_is_late_now_and_accepted_once(
    parts: Runtime, bank: BankSigner, clock: StandingClock
) -> None:
    """That release stored it as rejected, and its retry as one more."""
    source = add_source(parts)
    signed = bank.sign(deposit(transactionId="FT1"), timestamp=str(int(clock().timestamp()) - 600))
    stored = sorted(reject_as_stale(parts, source, signed) for _ in range(2))
    cut = reject_as_stale(parts, source, bank.sign(deposit(transactionId="FT2"), timestamp="1000000000"), most=40)
    done = acts.reverify(parts, "cli:test")
    assert (done.verified, list(done.accepted), list(done.late), list(done.cut)) == (3, [], stored, [cut])
    (late,) = waiting(parts)
    assert late.id == stored[0]
    assert bytes(late.body or b"") == signed.body
    acts.accept(parts, "cli:test", late.id, "the payer has shown the transfer")
    assert [entry.subject for entry in log(parts)] == ["FT1"]
    assert post(parts, signed) == 200
    assert [row.id for row in rejected(parts)] == [cut]


def test_what_an_earlier_release_refused_as_stale_and_the_bank_told_anew_is_doubled_nowhere(
    parts: Runtime, bank: BankSigner, clock: StandingClock
) -> None:
    source = add_source(parts)
    stale = bank.sign(deposit(transactionId="FT1"), timestamp=str(int(clock().timestamp()) - 600))
    reject_as_stale(parts, source, stale)
    assert tell(parts, bank, "FT1") == 200
    (late,) = acts.reverify(parts, "cli:test").late
    acts.accept(parts, "cli:test", late, "to clear the list")
    (entry,) = log(parts)
    with parts.database.read() as connection:
        event = events.find(connection, entry.event_id or "")
        told = events.deliveries_of(connection, entry.event_id or "")
    assert event is not None
    assert not event.late
    assert [row.verdict for row in told] == ["accepted", "duplicate"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_known", [True, False], ids=["known networks", "an allow-list"])
def test_a_flood_from_sixty_networks_leaves_the_bank_s_own_of_a_new_secret(
    parts: Runtime, bank: BankSigner, is_known: bool
) -> None:
    """The forgers write as the bank does; they can't send from its network, nor from an address that is allowed."""
    options: dict[str, Any] = {} if is_known else {"allowed_addresses": ["198.51.100.0/24"]}
    source = add_source(parts, **options)
    few = Runtime(parts.settings.model_copy(update={"rejected_max": 30}), parts.database, parts.encryption, parts.clock)
    client = create_app(few).test_client()

    def send(signed: Signed, peer: str) -> int:
        base = {"REMOTE_ADDR": peer}
        return client.post(signed.path, data=signed.body, headers=signed.headers, environ_base=base).status_code

    if is_known:
        assert send(bank.sign(deposit(transactionId="FT1")), "198.51.100.7") == 200
    renewed = BankSigner(parts.clock, secret="A" * 43 + "=")
    for number in range(1, 11):
        assert send(renewed.sign(deposit(transactionId=f"FT{number}")), f"198.51.100.{number}") == 401
    forger = BankSigner(parts.clock, secret="B" * 43 + "=")
    for number in range(120):
        forged = forger.sign(deposit())
        headers = forged.headers if number % 2 else {}
        assert send(Signed(forged.path, forged.body, headers), f"203.0.{number // 2}.66") == 401
    set_secret(parts, source, renewed.secret)
    assert len(acts.reverify(parts, "cli:test").accepted) == 10
    assert sorted(entry.subject or "" for entry in log(parts)) == sorted(f"FT{number}" for number in range(1, 11))


def reject_as_stale(parts: Runtime, source: SourceRecord, signed: Signed, most: int = 10_000) -> str:
    headers = {name.lower(): value for name, value in signed.headers.items()}
    arrived = made.delivery(parts, source, body=signed.body, headers=headers, path=signed.path)
    with parts.database.write() as connection:
        deliveries.store_rejected(
            connection,
            arrived,
            reason="timestamp_stale",
            detail="",
            proven=True,
            likely=False,
            most=100,
            body_bytes=most,
        )
    return arrived.id
