"""Callbacks during an unfinished rotation: 503 and kept; accepted afterwards, once, whoever brings them."""

from dataclasses import replace

import pytest
from bank import BankSigner, Signed, deposit
from conftest import StandingClock, add_source
from credentials.callbacks import kept, post, signed_now, tell, told

from receiver.credentials.outcomes import ChangeUnfinished
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.faults import Fault
from receiver.store import credential_changes, events
from receiver.store.events import Filter
from receiver.store.sources import SourceRecord
from receiver.web import create_app
from receiver.worker.loop import Worker

ROTATE = ChangeRequest("rotate", "cli:test")
OTHER = "A" * 43 + "="


@pytest.fixture
def unfinished(simulator: Simulator, source: SourceRecord, changes: CredentialChanges) -> CredentialChanges:
    """The bank has rotated, and its answer is lost."""
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    return changes


def finish(parts: Runtime, source: SourceRecord) -> None:
    CredentialChanges(parts).make(source, ROTATE)


@pytest.mark.usefixtures("unfinished")
def test_what_fits_no_secret_is_answered_503_and_kept(parts: Runtime, simulator: Simulator) -> None:
    signed = signed_now(parts, simulator)
    answer = create_app(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers)
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    assert kept(parts) == [(signed.headers["Bcb-Nonce"], "rotation_unresolved")]
    assert told(parts) == []


@pytest.mark.usefixtures("unfinished")
def test_what_fits_the_old_secret_is_accepted_as_ever(parts: Runtime, bank: BankSigner) -> None:
    assert post(parts, bank.sign(deposit())) == 200


@pytest.mark.usefixtures("unfinished")
def test_what_is_malformed_is_refused_as_ever(parts: Runtime, bank: BankSigner) -> None:
    signed = bank.sign(deposit(), nonce="a nonce")
    assert post(parts, signed) == 401


@pytest.mark.usefixtures("unfinished")
def test_a_worker_accepts_what_was_kept_once_the_rotation_is_finished(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    for number in range(3):
        assert tell(parts, simulator, f"FT{number}") == 503
    clock.forward(60)
    Worker(parts).run_once()
    assert sorted(map(str, told(parts)[:3])) == ["FT0", "FT1", "FT2"]
    assert kept(parts) == []


@pytest.mark.usefixtures("unfinished")
def test_the_banks_own_retries_double_nothing(parts: Runtime, simulator: Simulator, source: SourceRecord) -> None:
    early, late = signed_now(parts, simulator, "FT1"), signed_now(parts, simulator, "FT2")
    for signed in (early, early, late, late):
        assert post(parts, signed) == 503
    assert len(kept(parts)) == 2
    finish(parts, source)
    assert post(parts, early) == 200
    Worker(parts).run_once()
    assert post(parts, late) == 200
    assert sorted(filter(None, told(parts))) == ["FT1", "FT2"]
    assert kept(parts) == []


@pytest.mark.usefixtures("unfinished")
def test_what_was_forged_meanwhile_is_a_plain_rejection_afterwards(parts: Runtime, source: SourceRecord) -> None:
    forged = BankSigner(parts.clock, secret=OTHER).sign(deposit())
    assert post(parts, forged) == 503
    finish(parts, source)
    Worker(parts).run_once()
    assert [reason for _, reason in kept(parts)] == ["signature_mismatch"]
    assert told(parts) == []


@pytest.mark.usefixtures("unfinished")
def test_a_process_that_looked_at_the_secrets_just_before_the_end_refuses_nothing_for_good(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    finish(parts, source)
    forged = BankSigner(parts.clock, secret=OTHER)
    assert post(parts, forged.sign(deposit())) == 503
    clock.forward(11)
    assert post(parts, forged.sign(deposit())) == 401


@pytest.mark.usefixtures("unfinished")
def test_one_that_is_kept_for_a_moment_after_the_end_is_settled_too(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    finish(parts, source)
    Worker(parts).run_once()
    clock.forward(9)
    assert post(parts, BankSigner(parts.clock, secret=OTHER).sign(deposit())) == 503
    clock.forward(30)
    Worker(parts).run_once()
    assert [reason for _, reason in kept(parts)] == ["signature_mismatch"]


@pytest.mark.usefixtures("unfinished")
def test_a_body_that_was_not_kept_whole_is_left_to_the_banks_retry(
    parts: Runtime, simulator: Simulator, source: SourceRecord
) -> None:
    small = replace(parts, settings=parts.settings.model_copy(update={"rejected_body_bytes": 40}))
    signed = signed_now(parts, simulator)
    assert post(small, signed) == 503
    finish(parts, source)
    Worker(parts).run_once()
    assert told(parts) == []
    assert post(parts, signed) == 200


@pytest.mark.usefixtures("unfinished")
def test_an_event_tells_which_version_proved_it(
    parts: Runtime, simulator: Simulator, source: SourceRecord, bank: BankSigner
) -> None:
    post(parts, bank.sign(deposit(transactionId="FT1")))
    tell(parts, simulator, "FT2")
    finish(parts, source)
    Worker(parts).run_once()
    with parts.database.read() as connection:
        rows = events.listing(connection, Filter(), below=None, limit=10)
    assert {row.payment_id: row.proof_key for row in rows} == {"FT1": "secret:1", "FT2": "secret:2"}


@pytest.mark.usefixtures("unfinished")
def test_nothing_is_looked_for_once_all_is_settled(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    finish(parts, source)
    clock.forward(60)
    Worker(parts).run_once()
    with parts.database.read() as connection:
        assert credential_changes.unsettled(connection) == []


def test_a_source_without_a_secret_may_get_its_first_by_a_rotation(parts: Runtime, simulator: Simulator) -> None:
    bare = add_source(parts, secret=None, base_url=simulator.url)
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        CredentialChanges(parts).make(bare, ROTATE, pauses=())
    signed: Signed = signed_now(parts, simulator)
    assert post(parts, signed) == 503
    finish(parts, bare)
    assert post(parts, signed) == 200
