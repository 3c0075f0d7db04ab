"""Acts that ask a bank are noted once it has answered; those that change something there before that, too."""

import json
from collections.abc import Iterator

import others
import pytest
from admin.looking import WHO, noted
from conftest import StandingClock, add_source
from credentials.callbacks import tell

from receiver import banks
from receiver.admin import credentials, payments, source_changes, sources, subscriptions
from receiver.admin.source_changes import NewSettings
from receiver.admin.sources import OriginWrong
from receiver.bank_client.session import BankSession
from receiver.banks.abilities import AddressesWrong, SubscriptionIncomplete
from receiver.banks.errors import BankError, Unreachable
from receiver.banks.protocol import RegistrationNotOffered
from receiver.credentials.outcomes import BankWithoutCredentials, CredentialsError, NothingUnderWay
from receiver.model import CredentialChangeKind, NotFound, NotPossible
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.faults import Fault
from receiver.store import credential_changes
from receiver.store import payments as stored
from receiver.store.credential_changes import Intent
from receiver.store.sources import SourceRecord

ORIGIN = "https://receiver.example"


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0), clock=clock) as running:
        yield running


@pytest.fixture
def source(parts: Runtime, simulator: Simulator) -> SourceRecord:
    """The source `bcb`, whose bank is the simulator."""
    return add_source(parts, base_url=simulator.url)


@pytest.fixture
def unfinished(parts: Runtime, source: SourceRecord) -> None:
    """A rotation of which nothing but the intent is written down."""
    intent = Intent(CredentialChangeKind.ROTATE, "simulator-client", None, "a-key", "cli:bob", "a-token")
    with parts.database.write() as connection:
        credential_changes.begin(connection, parts.encryption, source, intent, now=parts.clock(), due_at=parts.clock())


def bank_answers(monkeypatch: pytest.MonkeyPatch, answer: str | BankError) -> None:
    def ask(*_: object) -> str:
        if isinstance(answer, BankError):
            raise answer
        return answer

    monkeypatch.setattr(BankSession, "ask", ask)


@pytest.mark.usefixtures("source")
def test_a_check_is_noted_once_the_bank_was_asked(parts: Runtime, simulator: Simulator) -> None:
    assert tell(parts, simulator, "FT1") == 200
    payments.check(parts, WHO, "bcb", "FT1")
    assert noted(parts) == [(WHO, "payment.checked", {"source": "bcb", "payment": "FT1"})]
    with parts.database.read() as connection:
        found = stored.find(connection, "bcb", "payment", "FT1")
        assert found is not None
        assert len(stored.checks_of(connection, found.id)) == 1


@pytest.mark.usefixtures("source")
def test_a_check_at_no_source_or_at_a_disabled_one_is_not_noted(parts: Runtime, simulator: Simulator) -> None:
    with pytest.raises(NotFound, match="there is no source 'bbc'"):
        payments.check(parts, WHO, "bbc", "FT1")
    tell(parts, simulator, "FT1")
    sources.disable(parts, WHO, "bcb")
    with pytest.raises(NotPossible, match="the bank was not asked"):
        payments.check(parts, WHO, "bcb", "FT1")
    assert [what for _, what, _ in noted(parts)] == ["source.disabled"]


def test_a_registration_is_noted_without_the_secret_of_its_address(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.add(parts, "banqup", others.TOKEN, base_url="http://127.0.0.1:9", token_in="path")
    bank_answers(monkeypatch, f"hook-7 at {ORIGIN}/webhooks/banqup/{others.TOKEN}")
    made = sources.register(parts, WHO, "banqup", f"{ORIGIN}/")
    assert made.address == f"{ORIGIN}/webhooks/banqup"
    about = {"source": "banqup", "address": made.address}
    said = {**about, "bank_says": f"hook-7 at {ORIGIN}/webhooks/banqup/…"}
    assert noted(parts) == [(WHO, "source.registering", about), (WHO, "source.registered", said)]
    assert others.TOKEN not in repr(made)


def test_a_registration_is_noted_before_the_bank_is_asked_and_not_where_it_is_not(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = others.add(parts, "banqup", None, base_url="http://127.0.0.1:9", token_in="path")
    with pytest.raises(OriginWrong):
        sources.register(parts, WHO, "banqup", "http://receiver.example")
    with pytest.raises(NotFound):
        sources.register(parts, WHO, "none", ORIGIN)
    with pytest.raises(NotPossible, match="banqup has no secret"):
        sources.register(parts, WHO, "banqup", ORIGIN)
    assert noted(parts) == []
    others.set_secret(parts, source, others.TOKEN)
    bank_answers(monkeypatch, Unreachable("no answer"))
    with pytest.raises(Unreachable):
        sources.register(parts, WHO, "banqup", ORIGIN)
    about = {"source": "banqup", "address": f"{ORIGIN}/webhooks/banqup"}
    assert noted(parts) == [(WHO, "source.registering", about)]


@pytest.mark.usefixtures("source")
def test_a_subscription_that_was_made_in_part_or_whose_answer_was_lost_is_noted(
    parts: Runtime, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = subscriptions.Request(topics=["Deposits"], origin=ORIGIN)
    about = {"source": "bcb", "address": f"{ORIGIN}/webhooks/bcb", "topics": ["Deposits"]}

    def lose(*_: object) -> None:
        raise SubscriptionIncomplete("sub-1 made, but none to Deposits: no answer came")

    with monkeypatch.context() as patched:
        patched.setattr(type(banks.named("bcb")), "subscribe", staticmethod(lose))
        with pytest.raises(SubscriptionIncomplete):
            subscriptions.create(parts, WHO, "bcb", asked)
    incomplete = {**about, "incomplete": "sub-1 made, but none to Deposits: no answer came"}
    assert noted(parts) == [(WHO, "subscription.creating", about), (WHO, "subscription.created", incomplete)]
    (made,) = subscriptions.create(parts, WHO, "bcb", asked)
    simulator.faults.add(Fault("hang-up", path="/v1/notifications/subscriptions/*", count=None))
    with pytest.raises(BankError):
        subscriptions.deactivate(parts, WHO, "bcb", made.id)
    ended = {"source": "bcb", "subscription": made.id}
    assert noted(parts)[2:] == [
        (WHO, "subscription.creating", about),
        (WHO, "subscription.created", {**about, "subscriptions": [made.id]}),
        (WHO, "subscription.deactivating", ended),
    ]


@pytest.mark.usefixtures("source")
def test_a_bank_that_takes_no_registration_says_so(parts: Runtime) -> None:
    with pytest.raises(RegistrationNotOffered):
        sources.register(parts, WHO, "bcb", ORIGIN)
    assert [what for _, what, _ in noted(parts)] == ["source.registering"]


@pytest.mark.usefixtures("source")
def test_a_rotation_is_noted_when_it_begins_and_when_it_is_done(parts: Runtime) -> None:
    change = credentials.rotate(parts, WHO, "bcb")
    (begun, done) = noted(parts)
    assert begun == (WHO, "credentials.rotate.begun", {"source": "bcb", "client": "simulator-client"})
    assert (done[0], done[1], done[2]["secret_version"]) == (WHO, "credentials.rotate.done", change.secret_version)


@pytest.mark.usefixtures("source")
def test_a_change_that_was_reported_is_not_told_once_more(parts: Runtime) -> None:
    first = credentials.rotate(parts, WHO, "bcb")
    assert credentials.rotate(parts, WHO, "bcb").id == first.id
    credentials.report(parts, first)
    assert credentials.rotate(parts, WHO, "bcb").id != first.id


@pytest.mark.usefixtures("source")
def test_new_credentials_and_the_end_of_old_ones_are_noted(parts: Runtime, simulator: Simulator) -> None:
    made = credentials.create(parts, WHO, "bcb", "127.0.0.1")
    credentials.disable(parts, WHO, "bcb", "simulator-client")
    assert [(who, what) for who, what, _ in noted(parts)] == [
        (WHO, "credentials.create.begun"),
        (WHO, "credentials.create.done"),
        (WHO, "credentials.disable.begun"),
        (WHO, "credentials.disable.done"),
    ]
    assert made.client_id != "simulator-client"
    assert simulator.bank.credentials.done["disabled"] == 1


@pytest.mark.usefixtures("source")
def test_showing_new_secrets_is_noted_but_not_the_secrets(parts: Runtime, simulator: Simulator) -> None:
    change = credentials.rotate(parts, WHO, "bcb")
    client = simulator.bank.client
    assert credentials.show(parts, WHO, "bcb", change) == {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "signing_secret": client.signing_secret,
    }
    assert noted(parts)[-1] == (WHO, "secret.shown", {"source": "bcb", "version": change.secret_version})
    for secret in (client.client_secret, client.signing_secret):
        assert secret not in json.dumps(noted(parts))


@pytest.mark.usefixtures("unfinished")
def test_giving_a_change_up_is_noted(parts: Runtime) -> None:
    credentials.abandon(parts, WHO, "bcb")
    about = {"source": "bcb", "begun_at": parts.clock().isoformat()}
    assert noted(parts) == [(WHO, "credentials.rotate.abandoned", about)]
    with pytest.raises(NothingUnderWay):
        credentials.abandon(parts, WHO, "bcb")
    assert len(noted(parts)) == 1


@pytest.mark.usefixtures("unfinished")
def test_credentials_set_by_hand_give_a_change_up_in_the_same_transaction(parts: Runtime, source: SourceRecord) -> None:
    given = {"client_id": "simulator-client", "client_secret": "a-newer-one"}
    given_up = sources.set_credentials(parts, WHO, "bcb", given)
    assert given_up is not None
    assert given_up.kind == "rotate"
    assert [what for _, what, _ in noted(parts)] == ["credentials.rotate.abandoned", "source.credentials"]
    with parts.database.read() as connection:
        assert credential_changes.pending(connection, source.id) is None


@pytest.mark.usefixtures("unfinished")
def test_a_source_that_is_not_moved_because_a_change_is_unfinished_says_how_that_stands(parts: Runtime) -> None:
    command = "so does `receiver credentials rotate bcb`"
    must = "Till it is over, address and environment of the bank must stay as they are"
    with pytest.raises(NotPossible, match=rf"after 1 attempts: no answer yet\. .*{command}\. {must}$"):
        source_changes.change(parts, WHO, "bcb", NewSettings(base_url="https://other.example"))
    assert noted(parts) == []


@pytest.mark.usefixtures("unfinished")
def test_credentials_that_are_refused_leave_an_unfinished_change_alone(parts: Runtime, source: SourceRecord) -> None:
    with pytest.raises(Exception, match="the credentials lack client_secret"):
        sources.set_credentials(parts, WHO, "bcb", {"client_id": "simulator-client"})
    with parts.database.read() as connection:
        assert credential_changes.pending(connection, source.id) is not None
    assert noted(parts) == []


def test_changes_that_are_not_begun_are_not_noted(parts: Runtime, simulator: Simulator) -> None:
    add_source(parts, base_url=simulator.url)
    others.add(parts, "banqup", None, base_url="http://127.0.0.1:9")
    with pytest.raises(AddressesWrong):
        credentials.create(parts, WHO, "bcb", "nowhere")
    for act in (credentials.create, credentials.rotate, credentials.disable):
        with pytest.raises(NotFound):
            act(parts, WHO, "none")
        with pytest.raises(CredentialsError):
            act(parts, WHO, "banqup")
    with pytest.raises(BankWithoutCredentials):
        credentials.permissions(parts, "banqup")
    assert noted(parts) == []


@pytest.mark.usefixtures("source")
def test_permissions_are_compared_with_what_is_needed(parts: Runtime, simulator: Simulator) -> None:
    assert credentials.permissions(parts, "bcb").missing == []
    simulator.bank.replace_client(simulator.bank.client.with_permissions(frozenset({"manage-credentials"})))
    found = credentials.permissions(parts, "bcb")
    assert found.missing == ["get-payment-status", "get-transactions", "get-all-accounts"]
    assert [permission.key for permission in found.held] == ["manage-credentials"]


@pytest.mark.usefixtures("source")
def test_permissions_that_may_not_be_asked_for_say_what_to_do(parts: Runtime, simulator: Simulator) -> None:
    simulator.bank.replace_client(simulator.bank.client.with_permissions(frozenset({"get-transactions"})))
    with pytest.raises(NotPossible, match="Ask the bank to grant `manage-credentials`"):
        credentials.permissions(parts, "bcb")


def test_a_bank_without_accounts_says_so(parts: Runtime) -> None:
    others.add(parts, "standard_webhooks", None)
    with pytest.raises(NotPossible, match="standard_webhooks has no list of accounts"):
        credentials.accounts(parts, "standard_webhooks")
