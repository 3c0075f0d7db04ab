"""Changes of credentials: whatever becomes of the answer, the secrets here are the bank's in the end, by one change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pytest
from bank import SECRET
from conftest import StandingClock, add_source
from credentials.callbacks import assert_in_step, known_secrets, post, signed_now, tell
from pydantic import SecretStr
from sqlalchemy import select

from receiver.admin import bcb_from_environment, credentials, secrets
from receiver.admin import sources as source_acts
from receiver.admin.diagnosis import examine
from receiver.bank_client.session import BankSession, CredentialsChanging
from receiver.banks.http import HttpClient
from receiver.credentials.outcomes import AlreadyUnderWay, ChangeRefused, ChangeUnfinished, NothingUnderWay
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.clients import Client
from receiver.simulator.faults import Fault, Kind
from receiver.store import audit, credential_changes, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import CredentialChange, table_of
from receiver.worker.loop import Worker

OTHER = "A" * 43 + "="

CREATE, ROTATE, DISABLE = (ChangeRequest(kind, "cli:test") for kind in ("create", "rotate", "disable"))


def spoil(simulator: Simulator, kind: Kind, count: int | None = 1) -> None:
    """Spoil answers of the credentials API; `truncated` ones once the bank has done what was asked."""
    simulator.faults.add(Fault(kind, path="/v1/credentials*", count=count))


def leave_unfinished(
    changes: CredentialChanges, source: SourceRecord, simulator: Simulator, wish: ChangeRequest = ROTATE
) -> None:
    """Let the bank do what is wished, and lose its answer."""
    spoil(simulator, "truncated")
    with pytest.raises(ChangeUnfinished, match="is unfinished after 1 attempts"):
        changes.make(source, wish, pauses=())


def rotations(simulator: Simulator) -> int:
    return simulator.bank.credentials.done["rotated"]


def states(parts: Runtime) -> list[str]:
    table = table_of(CredentialChange)
    with parts.database.read() as connection:
        return list(connection.execute(select(table.c.state).order_by(table.c.id)).scalars())


def with_environment(parts: Runtime, **given: Any) -> Runtime:
    return replace(parts, settings=parts.settings.model_copy(update=given))


def kill_tokens(simulator: Simulator) -> None:
    simulator.bank.credentials.old_tokens = "revoked"


def test_a_rotation_makes_the_banks_new_secrets_the_current_ones(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    change = changes.make(source, ROTATE)
    assert (change.state, change.secret_version, rotations(simulator)) == ("done", 2, 1)
    assert_in_step(parts, simulator)


def test_the_secret_before_it_proves_callbacks_for_the_grace_period_and_no_longer(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    in_flight, late = signed_now(parts, simulator), signed_now(parts, simulator, "FT2")
    changes.make(source, ROTATE)
    assert post(parts, in_flight) == 200
    clock.forward(3600)
    assert SECRET not in known_secrets(parts)
    assert post(parts, late) == 401
    assert tell(parts, simulator, "FT3") == 200


@pytest.mark.parametrize("kind", ["truncated", "hang-up", "500", "503", "not-json", "huge"])
def test_an_answer_that_is_lost_once_is_asked_for_again_by_the_same_command(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, kind: Kind
) -> None:
    spoil(simulator, kind)
    assert changes.make(source, ROTATE, pauses=(0.0,)).attempts == 2
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_the_same_command_finishes_what_was_left_unfinished(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    leave_unfinished(changes, source, simulator)
    assert known_secrets(parts) == [SECRET]
    changes.make(source, ROTATE)
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_a_worker_finishes_it_once_its_head_start_is_over(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    leave_unfinished(changes, source, simulator)
    Worker(parts).run_once()
    assert states(parts) == ["pending"]
    clock.forward(60)
    Worker(parts).run_once()
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_a_worker_finishes_it_for_a_source_that_was_disabled_meanwhile_since_its_secrets_would_be_lost(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    leave_unfinished(changes, source, simulator)
    words = source_acts.disable(parts, "cli:test", "bcb")
    assert words is not None
    assert "an unfinished change (rotate)" in words
    assert "`receiver credentials rotate bcb --abandon` gives it up" in words
    clock.forward(60)
    assert changes.finish_due() == 1
    assert_in_step(parts, simulator)
    assert source_acts.disable(parts, "cli:test", "bcb") is None


def test_a_worker_goes_on_as_long_as_the_bank_gives_no_answer(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    leave_unfinished(changes, source, simulator)
    spoil(simulator, "500", count=5)
    for _ in range(5):
        clock.forward(60)
        assert changes.finish_due() == 0
    clock.forward(60)
    assert changes.finish_due() == 1
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_what_a_worker_has_finished_is_told_by_the_command_and_not_done_again(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    leave_unfinished(changes, source, simulator)
    clock.forward(60)
    changes.finish_due()
    change = changes.make(source, ROTATE)
    assert rotations(simulator) == 1
    changes.report(change)
    changes.make(source, ROTATE)
    assert rotations(simulator) == 2


BY_HAND = {"client_id": "simulator-client", "client_secret": "by hand"}
SET_SINCE: dict[str, Callable[[Runtime], object]] = {
    "credentials by hand": lambda parts: source_acts.set_credentials(parts, "cli:test", "bcb", BY_HAND),
    "a secret by hand": lambda parts: secrets.put(parts, "cli:test", "bcb", OTHER),
    "credentials by the environment": lambda parts: bcb_from_environment.apply(
        with_environment(parts, bcb_client_id="simulator-client", bcb_client_secret=SecretStr("by hand"))
    ),
    "a secret by the environment": lambda parts: bcb_from_environment.apply(
        with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER))
    ),
}


@pytest.mark.parametrize("since", SET_SINCE.values(), ids=SET_SINCE)
@pytest.mark.parametrize("wish", [ROTATE, CREATE], ids=["rotate", "create"])
def test_what_a_worker_has_finished_is_not_told_once_something_else_was_set_since(
    parts: Runtime,
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    clock: StandingClock,
    wish: ChangeRequest,
    since: Callable[[Runtime], object],
) -> None:
    leave_unfinished(changes, source, simulator, wish)
    clock.forward(60)
    changes.finish_due()
    since(parts)
    with parts.database.read() as connection:
        assert credential_changes.unreported(connection, source.id, wish.kind, clock()) == []


def test_a_secret_that_is_the_current_one_already_leaves_a_rotation_to_be_told(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    done = changes.make(source, ROTATE)
    secrets.put(parts, "cli:test", "bcb", simulator.bank.client.signing_secret)
    assert changes.make(source, ROTATE).id == done.id


def test_a_client_for_another_app_that_nobody_has_seen_is_shown_whatever_was_set_since(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    issued = changes.make(source, ChangeRequest("issue", "cli:test"))
    source_acts.set_credentials(parts, "cli:test", "bcb", BY_HAND)
    assert changes.make(source, ChangeRequest("issue", "cli:test")).id == issued.id


def test_a_new_client_that_the_source_does_not_use_any_more_is_not_told_as_the_one_in_use(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    first = changes.make(source, CREATE)
    with parts.database.write() as connection:
        given = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
        sources.set_credentials(connection, parts.encryption, source, given)
    assert changes.make(source, CREATE).client_id != first.client_id


def test_it_is_told_for_a_day_and_then_rotated_anew(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    changes.make(source, ROTATE)
    clock.forward(86401)
    changes.make(source, ROTATE)
    assert rotations(simulator) == 2


def test_another_kind_of_change_waits_until_the_unfinished_one_is_finished(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    leave_unfinished(changes, source, simulator)
    with pytest.raises(AlreadyUnderWay):
        changes.make(source, CREATE)
    assert simulator.bank.credentials.done["created"] == 0


def test_a_bank_that_lost_the_request_rotates_when_it_is_asked_again(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    spoil(simulator, "hang-up")
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    assert rotations(simulator) == 0
    simulator.bank.tokens.expire_all()
    changes.make(source, ROTATE)
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_where_neither_token_nor_secret_is_taken_it_is_said_and_nothing_is_given_up(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    kill_tokens(simulator)
    leave_unfinished(changes, source, simulator)
    with pytest.raises(ChangeUnfinished, match=r"Ask the bank for new credentials; then `receiver secret set bcb`"):
        changes.make(source, ROTATE, pauses=())
    assert states(parts) == ["pending"]
    assert tell(parts, simulator) == 503


def test_a_change_that_is_given_up_is_over(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    leave_unfinished(changes, source, simulator)
    changes.abandon(source, "cli:test")
    with pytest.raises(NothingUnderWay):
        changes.abandon(source, "cli:test")
    clock.forward(60)
    assert tell(parts, simulator) == 401
    assert states(parts) == ["abandoned"]


def test_a_missing_permission_is_said_in_words_and_ends_it(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    simulator.bank.replace_client(simulator.bank.client.with_permissions(frozenset({"get-payment-status"})))
    with pytest.raises(
        ChangeRefused, match="Ask the bank to grant `manage-credentials` to the client simulator-client"
    ):
        changes.make(source, ROTATE)
    assert states(parts) == ["refused"]
    assert_in_step(parts, simulator)


def test_a_refusal_after_a_lost_answer_ends_it_only_where_the_old_secret_is_alive(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    spoil(simulator, "hang-up")
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    simulator.bank.replace_client(simulator.bank.client.with_permissions(frozenset()))
    simulator.bank.tokens.expire_all()
    with pytest.raises(ChangeRefused):
        changes.make(source, ROTATE, pauses=())
    assert states(parts) == ["refused"]


def test_a_refusal_after_a_rotation_that_was_done_gives_nothing_up(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    leave_unfinished(changes, source, simulator)
    simulator.bank.replace_client(replace(simulator.bank.client, allowed_ips="192.0.2.1"))
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    simulator.bank.replace_client(replace(simulator.bank.client, allowed_ips=None))
    changes.make(source, ROTATE, pauses=())
    assert rotations(simulator) == 1
    assert_in_step(parts, simulator)


def test_a_request_that_the_banks_limit_turns_away_leaves_nothing_unfinished(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    spoil(simulator, "429")
    with pytest.raises(ChangeRefused, match="429"):
        changes.make(source, ROTATE)
    assert states(parts) == ["refused"]


def test_credentials_that_are_dead_already_begin_nothing(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    simulator.bank.replace_client(simulator.bank.client.rotated())
    with pytest.raises(Exception, match="POST /auth/token: 401"):
        changes.make(source, ROTATE)
    assert states(parts) == []


def test_a_call_in_flight_whose_token_the_rotation_killed_is_made_again_with_the_new_secret(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    session = BankSession(parts, source)
    session.ask(session.bank.clock)
    asked = 0

    def ask(way: HttpClient) -> datetime | None:
        nonlocal asked
        asked += 1
        if asked == 1:
            changes.make(source, ROTATE)
        return session.bank.clock(way)

    assert session.ask(ask) is not None
    assert asked == 2


def test_no_call_is_wasted_on_dead_credentials_while_a_rotation_is_unfinished(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    leave_unfinished(changes, source, simulator)
    session = BankSession(parts, source)
    with pytest.raises(CredentialsChanging):
        session.ask(session.bank.clock)
    spoil(simulator, "500")
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    before = len(simulator.requests.entries())
    with pytest.raises(CredentialsChanging):
        session.ask(session.bank.clock)
    assert len(simulator.requests.entries()) == before


def test_a_new_client_is_used_from_then_on_and_ends_no_secret(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    spoil(simulator, "truncated")
    change = changes.make(
        source, ChangeRequest("create", "cli:test", allowed_ips="127.0.0.1,10.0.0.0/8"), pauses=(0.0,)
    )
    assert change.client_id is not None
    made = simulator.bank.clients[change.client_id]
    assert (simulator.bank.credentials.done["created"], made.allowed_ips) == (1, "127.0.0.1,10.0.0.0/8")
    clock.forward(30 * 86400)
    assert known_secrets(parts) == [made.signing_secret, SECRET]
    session = BankSession(parts, source)
    assert session.ask(session.bank.clock) is not None


def test_a_disabled_client_leaves_no_credentials_and_its_secrets_end_after_the_grace_period(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    changes.make(source, DISABLE)
    assert not simulator.bank.client.is_active
    with parts.database.read() as connection:
        assert sources.credentials(connection, parts.encryption, source) is None
    assert known_secrets(parts) == [SECRET]
    clock.forward(3600)
    assert known_secrets(parts) == []


@pytest.mark.parametrize("old_tokens", ["stored-answer", "revoked"])
def test_a_client_whose_disabling_got_no_answer_is_found_disabled(
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    old_tokens: Literal["stored-answer", "revoked"],
) -> None:
    simulator.bank.credentials.old_tokens = old_tokens
    leave_unfinished(changes, source, simulator, DISABLE)
    assert changes.make(source, DISABLE, pauses=()).state == "done"
    assert simulator.bank.credentials.done["disabled"] == 1


def test_another_client_can_be_disabled_and_the_sources_own_lives_on(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    changes.report(changes.make(source, CREATE))
    changes.make(source, ChangeRequest("disable", "cli:test", client_id="simulator-client"))
    assert not simulator.bank.client.is_active
    session = BankSession(parts, source)
    assert session.ask(session.bank.clock) is not None
    assert SECRET in known_secrets(parts)


@pytest.mark.parametrize("is_done", [True, False], ids=["done and not told", "unfinished"])
def test_disabling_without_a_name_ends_nothing_while_nobody_was_told_of_anothers(
    parts: Runtime,
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    clock: StandingClock,
    is_done: bool,
) -> None:
    other = Client.new(None, simulator.bank.client)
    simulator.bank.replace_client(other)
    wish = ChangeRequest("disable", "cli:test", client_id=other.client_id)
    leave_unfinished(changes, source, simulator, wish)
    if is_done:
        clock.forward(60)
        assert changes.finish_due() == 1
    command = f"`receiver credentials disable bcb --client-id {other.client_id}`"
    with pytest.raises(AlreadyUnderWay, match=f"{command}.*it is simulator-client"):
        changes.make(source, DISABLE, pauses=())
    assert credentials.disable(parts, "cli:test", "bcb", other.client_id).client_id == other.client_id
    assert simulator.bank.client.is_active
    assert simulator.bank.credentials.done["disabled"] == 1


@pytest.mark.parametrize("is_done", [True, False], ids=["done and not told", "unfinished"])
def test_disabling_the_sources_own_client_by_name_is_not_answered_with_anothers(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges, is_done: bool
) -> None:
    other = Client.new(None, simulator.bank.client)
    simulator.bank.replace_client(other)
    leave_unfinished(changes, source, simulator, ChangeRequest("disable", "cli:test", client_id=other.client_id))
    own = ChangeRequest("disable", "cli:test", client_id="simulator-client")
    if not is_done:
        with pytest.raises(AlreadyUnderWay, match=f"another change .disable: {other.client_id}. of"):
            changes.make(source, own, pauses=())
    changes.make(source, ChangeRequest("disable", "cli:test", client_id=other.client_id))
    assert simulator.bank.client.is_active
    assert changes.make(source, own).client_id == "simulator-client"
    assert not simulator.bank.client.is_active
    assert changes.make(source, DISABLE).client_id == "simulator-client", "told, not done once more"
    assert simulator.bank.credentials.done["disabled"] == 2


def test_a_disabling_whose_answer_is_lost_says_the_command_that_finishes_it_with_the_clients_name(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    spoil(simulator, "hang-up")
    with pytest.raises(ChangeUnfinished, match="receiver credentials disable bcb --client-id simulator-client`"):
        changes.make(source, DISABLE, pauses=())


def test_another_client_is_not_taken_for_disabled_because_the_sources_own_gets_no_token(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    other = Client.new(None, simulator.bank.client)
    simulator.bank.replace_client(other)
    wish = ChangeRequest("disable", "cli:test", client_id=other.client_id)
    spoil(simulator, "hang-up")
    with pytest.raises(ChangeUnfinished):
        changes.make(source, wish, pauses=())
    own = simulator.bank.client
    simulator.bank.replace_client(own.rotated())
    with pytest.raises(ChangeUnfinished):
        changes.make(source, wish, pauses=())
    assert states(parts) == ["pending"]
    simulator.bank.replace_client(own)
    changes.make(source, wish, pauses=())
    assert not simulator.bank.clients[other.client_id].is_active


def test_the_bank_is_asked_while_the_disabling_of_another_client_is_unfinished(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    other = Client.new(None, simulator.bank.client)
    simulator.bank.replace_client(other)
    spoil(simulator, "500", count=2)
    for _ in range(2):
        with pytest.raises(ChangeUnfinished):
            changes.make(source, ChangeRequest("disable", "cli:test", client_id=other.client_id), pauses=())
    session = BankSession(parts, source)
    assert session.ask(session.bank.clock) is not None


def test_every_step_is_in_the_audit_log_and_no_secret_is(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    leave_unfinished(changes, source, simulator)
    changes.make(source, ROTATE)
    with parts.database.read() as connection:
        entries = audit.listing(connection, limit=10)
    assert [entry.what for entry in entries] == ["credentials.rotate.done", "credentials.rotate.begun"]
    assert entries[0].about == {"source": "bcb", "client": "simulator-client", "secret_version": 2, "attempts": 2}


def test_the_token_that_was_kept_goes_with_the_end_of_the_change(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    table = table_of(CredentialChange)
    leave_unfinished(changes, source, simulator)
    with parts.database.read() as connection:
        assert not bytes(connection.execute(select(table.c.token)).scalar_one()).startswith(b"ey")
    changes.make(source, ROTATE)
    with parts.database.read() as connection:
        assert connection.execute(select(table.c.token)).scalar_one() is None


def test_two_sources_change_apart(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    other = add_source(parts, "other", base_url=simulator.url)
    leave_unfinished(changes, source, simulator)
    with pytest.raises(Exception, match="401"):
        # Both are the same client, whose secret the first rotation has killed.
        changes.make(other, ROTATE)
    assert states(parts) == ["pending"]


def test_a_secret_that_does_not_fit_the_sources_encoding_is_stored_and_stops_no_other(
    parts: Runtime,
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_flight = signed_now(parts, simulator)
    monkeypatch.setattr("receiver.simulator.bcb.clients._signing_secret", lambda: "no Base64!")
    changes.make(source, ROTATE)
    assert known_secrets(parts) == ["no Base64!", SECRET]
    assert post(parts, in_flight) == 200
    found = [finding for finding in examine(parts) if finding.what == "bcb secrets"]
    assert [(finding.state, finding.text[-2:]) for finding in found] == [("fail", " 2")]
