"""A new client: used once it has worked from here, taken back, or made for another app; one client, killed or not."""

from dataclasses import replace
from typing import Any

import pytest
from admin.looking import noted
from bank import SECRET, BankSigner, deposit
from conftest import StandingClock
from credentials.callbacks import known_secrets, post
from sqlalchemy import select

from receiver.admin import credentials as acts
from receiver.admin import secrets, source_changes
from receiver.admin.source_changes import NewSettings
from receiver.bank_client.session import BankSession
from receiver.credentials import trial
from receiver.credentials.outcomes import AlreadyUnderWay, ChangeUnfinished, NothingUnderWay
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.model import NotPossible
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.clients import Client
from receiver.simulator.faults import Fault
from receiver.store import sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import CredentialChange, table_of
from receiver.worker.loop import Worker

WHO = "cli:test"
CREATE, ISSUE, ROTATE = (ChangeRequest(kind, WHO) for kind in ("create", "issue", "rotate"))
ELSEWHERE = ChangeRequest("create", WHO, allowed_ips="203.0.113.7")
FIRST = "simulator-client"
BY_HAND = "E" * 43 + "="


def own(parts: Runtime) -> dict[str, str]:
    """The API credentials that the source uses."""
    with parts.database.read() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        found = sources.credentials(connection, parts.encryption, source)
    assert found is not None
    return found


def newest(simulator: Simulator) -> Client:
    return list(simulator.bank.clients.values())[-1]


def uses(parts: Runtime, client: Client) -> bool:
    return own(parts) == {"client_id": client.client_id, "client_secret": client.client_secret}


def set_aside(parts: Runtime) -> list[tuple[bool, bool]]:
    """Of each change: whether it holds a new client's credentials, and those of before."""
    table = table_of(CredentialChange).c
    with parts.database.read() as connection:
        rows = connection.execute(select(table.made, table.previous).order_by(table.id)).all()
    return [(row.made is not None, row.previous is not None) for row in rows]


def allow_all(simulator: Simulator) -> None:
    simulator.bank.replace_client(replace(newest(simulator), allowed_ips=None))


@pytest.fixture
def waiting(parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges) -> Client:
    """A client that was made, and may not be used from here."""
    with pytest.raises(ChangeUnfinished, match="does not work from here: POST /auth/token: 403"):
        changes.make(source, ELSEWHERE, pauses=())
    assert own(parts)["client_id"] == FIRST
    return newest(simulator)


def test_a_client_that_does_not_work_from_here_is_not_used_and_its_secret_proves_callbacks_at_once(
    parts: Runtime, simulator: Simulator, waiting: Client
) -> None:
    assert set(known_secrets(parts)) == {SECRET, waiting.signing_secret}
    for number, secret in enumerate((SECRET, waiting.signing_secret)):
        signed = BankSigner(parts.clock, secret=secret).sign(deposit(transactionId=f"FT{number}"))
        assert post(parts, signed) == 200
    stranger = BankSigner(parts.clock, secret="A" * 43 + "=").sign(deposit(transactionId="FT9"))
    assert post(parts, stranger) == 401, "nothing is unresolved: the new secret is known"
    with parts.database.read() as connection:
        source = sources.find(connection, "bcb")
    assert source is not None
    assert BankSession(parts, source).ask(lambda client: client.get("/v1/system/time")), "asked by the old one"
    assert [client.client_id for client in simulator.bank.clients.values()] == [FIRST, waiting.client_id]


@pytest.mark.usefixtures("waiting")
def test_the_source_is_not_moved_while_it_is_on_trial_and_that_says_why(parts: Runtime) -> None:
    with pytest.raises(
        NotPossible, match=r"does not work from here: POST /auth/token: 403.*given up\. Till it is over"
    ):
        source_changes.change(parts, WHO, "bcb", NewSettings(base_url="https://other.example"))


def test_a_worker_takes_it_once_it_works(
    parts: Runtime, simulator: Simulator, waiting: Client, clock: StandingClock
) -> None:
    clock.forward(10)
    Worker(parts).run_once()
    assert own(parts)["client_id"] == FIRST
    allow_all(simulator)
    clock.forward(60)
    Worker(parts).run_once()
    assert uses(parts, waiting)
    assert simulator.bank.credentials.done["created"] == 1
    assert [what for _, what, _ in noted(parts)] == ["credentials.create.begun", "credentials.create.done"]


def test_the_same_command_takes_it_too_and_another_change_must_wait(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges, waiting: Client
) -> None:
    with pytest.raises(AlreadyUnderWay):
        changes.make(source, ROTATE, pauses=())
    allow_all(simulator)
    assert changes.make(source, CREATE, pauses=()).client_id == waiting.client_id
    assert uses(parts, waiting)


def test_a_client_on_trial_is_given_up(parts: Runtime, changes: CredentialChanges, waiting: Client) -> None:
    assert acts.undo(parts, WHO, "bcb").client_id == waiting.client_id
    assert own(parts)["client_id"] == FIRST
    assert set_aside(parts) == [(False, False)]
    assert noted(parts)[-1] == (WHO, "credentials.create.undone", {"source": "bcb", "client": waiting.client_id})
    with pytest.raises(NothingUnderWay):
        acts.undo(parts, WHO, "bcb")
    assert changes.finish_due() == 0


def test_what_was_taken_is_given_back_once(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    before = own(parts)
    changes.report(changes.make(source, CREATE))
    assert uses(parts, newest(simulator))
    assert set_aside(parts) == [(False, True)]
    acts.undo(parts, WHO, "bcb")
    assert own(parts) == before
    BankSession(parts, source).authorize()
    with pytest.raises(NothingUnderWay):
        acts.undo(parts, WHO, "bcb")
    assert newest(simulator).signing_secret in known_secrets(parts), "the bank may still sign with it"


def test_a_later_change_leaves_nothing_to_go_back_to(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    changes.report(changes.make(source, CREATE))
    changes.report(changes.make(source, ROTATE))
    assert set_aside(parts) == [(False, False), (False, False)]
    with pytest.raises(NothingUnderWay, match="made no new client"):
        acts.undo(parts, WHO, "bcb")


def test_credentials_that_were_set_by_hand_are_not_taken_back(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    changes.report(changes.make(source, CREATE))
    with parts.database.write() as connection:
        given = {"client_id": "by-hand", "client_secret": "x"}
        sources.set_credentials(connection, parts.encryption, source, given)
    with pytest.raises(NothingUnderWay, match="uses another client by now"):
        acts.undo(parts, WHO, "bcb")
    assert own(parts) == given


def test_where_the_answer_is_lost_there_is_nothing_to_take_back_yet(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        changes.make(source, CREATE, pauses=())
    with pytest.raises(NothingUnderWay, match="is not known yet"):
        acts.undo(parts, WHO, "bcb")
    changes.make(source, CREATE, pauses=())
    assert uses(parts, newest(simulator))
    assert simulator.bank.credentials.done["created"] == 1


@pytest.mark.parametrize(("wish", "command"), [(CREATE, "create bcb"), (ISSUE, "create bcb --keep-old")])
def test_a_refusal_after_a_lost_answer_does_not_give_up_a_client_that_may_be_made(
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    wish: ChangeRequest,
    command: str,
) -> None:
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        changes.make(source, wish, pauses=())
    first = simulator.bank.client
    simulator.bank.replace_client(replace(first, allowed_ips="192.0.2.1"))
    with pytest.raises(ChangeUnfinished, match=f"403.*so does `receiver credentials {command}`.*bcb --abandon` gives"):
        changes.make(source, wish, pauses=())
    simulator.bank.replace_client(first)
    assert changes.make(source, wish, pauses=()).client_id == newest(simulator).client_id
    assert simulator.bank.credentials.done["created"] == 1


def test_a_client_that_the_bank_keeps_refusing_after_a_lost_answer_is_given_up_by_a_person(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    simulator.faults.add(Fault("hang-up", path="/v1/credentials*"))
    simulator.faults.add(Fault("error", path="/v1/credentials*", status=403))
    for _ in range(2):
        with pytest.raises(ChangeUnfinished):
            changes.make(source, CREATE, pauses=())
    changes.abandon(source, WHO)
    assert changes.make(source, CREATE, pauses=()).state == "done"


def test_one_for_another_app_is_shown_once_and_leaves_the_source_as_it_is(
    parts: Runtime, simulator: Simulator, source: SourceRecord, changes: CredentialChanges
) -> None:
    before = (own(parts), known_secrets(parts))
    change = acts.create(parts, WHO, "bcb", for_another_app=True)
    made = newest(simulator)
    # Whoever was killed before it was shown asks once more and is shown the same.
    assert changes.make(source, ISSUE).client_id == change.client_id == made.client_id
    assert acts.show(parts, WHO, "bcb", change) == {
        "client_id": made.client_id,
        "client_secret": made.client_secret,
        "signing_secret": made.signing_secret,
    }
    acts.report(parts, change)
    assert set_aside(parts) == [(False, False)]
    assert (own(parts), known_secrets(parts)) == before
    assert acts.create(parts, WHO, "bcb", for_another_app=True).client_id != change.client_id


def test_the_secret_of_a_client_that_was_disabled_is_named_where_it_has_no_end(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    made = changes.make(source, CREATE).client_id
    assert made is not None
    issued = acts.create(parts, WHO, "bcb", for_another_app=True).client_id
    assert issued is not None
    assert acts.endless_secrets(parts, "bcb", FIRST) == [1], "set by hand: it may be this client's"
    assert acts.endless_secrets(parts, "bcb", made) == [2], "it came with this client"
    assert acts.endless_secrets(parts, "bcb", issued) == [], "the secret of another app's client is not stored"
    secrets.expire(parts, WHO, "bcb", 2)
    assert acts.endless_secrets(parts, "bcb", made) == []
    assert acts.endless_secrets(parts, "bcb", "somebody's") == [], "the only one is the source's own"


def test_a_secret_that_was_set_by_hand_is_that_of_the_client_whose_secret_it_follows(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges
) -> None:
    changes.make(source, ROTATE)
    secrets.put(parts, WHO, "bcb", BY_HAND)
    assert acts.endless_secrets(parts, "bcb", FIRST) == [], "the only one is the source's own"
    second = changes.make(source, CREATE).client_id
    assert second is not None
    assert acts.endless_secrets(parts, "bcb", FIRST) == [3]
    assert acts.endless_secrets(parts, "bcb", second) == [4]
    secrets.put(parts, WHO, "bcb", "I" * 43 + "=")
    changes.make(source, CREATE)
    assert acts.endless_secrets(parts, "bcb", FIRST) == [], "the second client's, which was in use when it was set"
    assert acts.endless_secrets(parts, "bcb", second) == [5]


def test_the_secret_of_a_client_on_trial_that_was_given_up_is_known_for_its_own(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges, waiting: Client
) -> None:
    changes.abandon(source, WHO)
    assert acts.endless_secrets(parts, "bcb", waiting.client_id) == [2]
    assert acts.endless_secrets(parts, "bcb", FIRST) == [1]


@pytest.mark.parametrize("kind", ["create", "issue"])
def test_a_client_for_other_addresses_is_another_client(
    simulator: Simulator, source: SourceRecord, changes: CredentialChanges, kind: str
) -> None:
    here, anywhere = (ChangeRequest(kind, WHO, allowed_ips=text) for text in ("127.0.0.1", "*"))
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        changes.make(source, here, pauses=())
    with pytest.raises(AlreadyUnderWay, match=f"another change .{kind}: for 127.0.0.1. of"):
        changes.make(source, anywhere, pauses=())
    first = changes.make(source, here)
    assert changes.make(source, here).client_id == first.client_id, "told, not done once more"
    second = changes.make(source, anywhere)
    assert (second.client_id, newest(simulator).allowed_ips) == (newest(simulator).client_id, "*")
    assert simulator.bank.credentials.done["created"] == 2


def test_one_for_another_app_is_not_answered_with_one_for_fewer_addresses(
    source: SourceRecord, changes: CredentialChanges
) -> None:
    few = changes.make(source, ChangeRequest("issue", WHO, allowed_ips="203.0.113.7"))
    assert changes.make(source, ISSUE).client_id != few.client_id


def test_one_for_another_app_that_nobody_has_seen_outlives_later_changes_for_a_day(
    parts: Runtime, source: SourceRecord, changes: CredentialChanges, clock: StandingClock
) -> None:
    unseen = changes.make(source, ISSUE)
    few = changes.make(source, ChangeRequest("issue", WHO, allowed_ips="203.0.113.7"))
    changes.report(changes.make(source, ROTATE))
    changes.report(changes.make(source, CREATE))
    found = changes.make(source, ISSUE)
    assert found.client_id == unseen.client_id
    assert acts.show(parts, WHO, "bcb", found)["client_id"] == unseen.client_id
    changes.report(found)
    clock.forward(86401)
    changes.make(source, ROTATE)
    assert set_aside(parts) == [(False, False)] * 5
    assert changes.make(source, ChangeRequest("issue", WHO, allowed_ips="203.0.113.7")).client_id != few.client_id


def test_what_is_set_aside_goes_with_the_source_where_it_is_moved(
    parts: Runtime, simulator: Simulator, waiting: Client, changes: CredentialChanges
) -> None:
    moved = source_changes.change(parts, WHO, "bcb", NewSettings(options={"encoding": "utf8"}))
    allow_all(simulator)
    changes.make(moved, CREATE, pauses=())
    assert uses(parts, waiting)
    source_changes.change(parts, WHO, "bcb", NewSettings(unset=["encoding"]))
    acts.undo(parts, WHO, "bcb")
    assert own(parts)["client_id"] == FIRST


KILLED: dict[str, tuple[Any, str]] = {
    "before what was made is on disk": (trial, "set_aside"),
    "before it is tried": (BankSession, "try_out"),
    "before it is taken": (trial, "adopt"),
}


def test_of_a_client_that_was_made_and_not_tried_it_is_said_how_it_goes_on(
    parts: Runtime,
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(BankSession, "try_out", die)
        with pytest.raises(KeyboardInterrupt):
            changes.make(source, CREATE)
    assert secrets.listing(parts, "bcb").warning == (
        f"the new client {newest(simulator).client_id} was made, and was not tried yet. bcb goes on with the one "
        "before it. A worker tries it, and so does `receiver credentials create bcb`; with `--undo` the new one "
        "is given up"
    )


@pytest.mark.parametrize("at", KILLED.values(), ids=KILLED)
def test_killed_at_a_step_and_run_again_the_source_uses_the_one_client_that_was_made(
    parts: Runtime,
    simulator: Simulator,
    source: SourceRecord,
    changes: CredentialChanges,
    at: tuple[Any, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(*at, die)
        with pytest.raises(KeyboardInterrupt):
            changes.make(source, CREATE)
    assert own(parts)["client_id"] == FIRST
    changes.make(source, CREATE)
    assert uses(parts, newest(simulator))
    assert simulator.bank.credentials.done["created"] == 1
