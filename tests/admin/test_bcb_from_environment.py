"""The source that the environment sets."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import others
import pytest
from admin.looking import everything, noted
from bank import SECRET
from pydantic import SecretStr

from receiver.admin import bcb_from_environment, source_changes
from receiver.admin.source_changes import NewSettings
from receiver.model import CredentialChangeKind
from receiver.runtime import Runtime
from receiver.settings import SettingsError
from receiver.store import credential_changes, signing_secrets, sources
from receiver.store.credential_changes import Intent
from receiver.store.sources import SourceRecord

OTHER = "A" * 43 + "="

NOTHING = dict.fromkeys(("bcb_client_id", "bcb_client_secret", "bcb_message_signing_secret", "bcb_base_url"))


def with_environment(parts: Runtime, **changes: Any) -> Runtime:
    given = {
        "bcb_client_id": "an-id",
        "bcb_client_secret": SecretStr("a-secret"),
        "bcb_message_signing_secret": SecretStr(SECRET),
        "bcb_base_url": "http://127.0.0.1:9",
        **changes,
    }
    return replace(parts, settings=parts.settings.model_copy(update=given))


def stored(parts: Runtime) -> tuple[SourceRecord, dict[str, str] | None, list[str]]:
    with parts.database.read() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        secrets = signing_secrets.valid(connection, parts.encryption, source.id, parts.clock())
        return source, sources.credentials(connection, parts.encryption, source), [secret.text for secret in secrets]


def test_the_environment_creates_the_source_bcb(parts: Runtime) -> None:
    assert bcb_from_environment.apply(with_environment(parts))
    source, credentials, secrets = stored(parts)
    assert (source.bank, source.base_url) == ("bcb", "http://127.0.0.1:9")
    assert credentials == {"client_id": "an-id", "client_secret": "a-secret"}
    assert secrets == [SECRET]


def test_what_the_environment_sets_is_in_the_audit_log_without_its_secrets(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    bcb_from_environment.apply(with_environment(parts))
    assert noted(parts) == [
        ("environment", "source.added", {"source": "bcb", "bank": "bcb", "environment": "sandbox"}),
        ("environment", "source.credentials", {"source": "bcb"}),
        ("environment", "secret.set", {"source": "bcb", "version": 1}),
    ]


def test_a_secret_that_makes_no_key_leaves_nothing_behind(parts: Runtime) -> None:
    before = everything(parts)
    with pytest.raises(SettingsError):
        bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr("not Base64!")))
    assert everything(parts) == before


def test_without_it_nothing_is_created(parts: Runtime) -> None:
    assert not bcb_from_environment.apply(parts)
    with parts.database.read() as connection:
        assert sources.every(connection) == []


def test_a_changed_environment_updates_the_source(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    assert bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER)))
    assert stored(parts)[2] == [OTHER, SECRET]


def test_a_restart_with_the_same_environment_never_sets_back_what_was_changed_since(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    source = stored(parts)[0]
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, OTHER, now=parts.clock(), grace_seconds=0)
    assert not bcb_from_environment.apply(with_environment(parts))
    assert stored(parts)[2] == [OTHER]


def test_a_secret_that_makes_no_key_stops_the_start_without_being_shown(parts: Runtime) -> None:
    with pytest.raises(SettingsError, match="BCB_MESSAGE_SIGNING_SECRET is wrong") as caught:
        bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr("not Base64!")))
    assert "not Base64!" not in str(caught.value)


def test_processes_that_start_together_apply_it_once(parts: Runtime) -> None:
    together = threading.Barrier(4)

    def start(_: int) -> bool:
        together.wait()
        return bcb_from_environment.apply(with_environment(parts))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, range(4))) >= 1
    assert stored(parts)[2] == [SECRET]


@pytest.mark.parametrize("url", ["http://bank.example", "https://user@bank.example", "ftp://bank.example"])
def test_an_address_that_shows_the_credentials_to_others_stops_the_start(parts: Runtime, url: str) -> None:
    before = everything(parts)
    with pytest.raises(SettingsError, match="BCB_BASE_URL is wrong"):
        bcb_from_environment.apply(with_environment(parts, bcb_base_url=url))
    assert everything(parts) == before


@pytest.mark.parametrize(
    "tampered",
    [
        {"base_url": "https://thief.example"},
        {"base_url": "https://thief.example", "credentials": None},
    ],
)
def test_the_credentials_in_the_environment_go_to_no_address_that_the_database_alone_names(
    parts: Runtime, tampered: dict[str, Any]
) -> None:
    bcb_from_environment.apply(with_environment(parts, bcb_base_url=None))
    source = stored(parts)[0]
    with parts.database.write() as connection:
        sources.change(connection, source.id, environment_digest=None, **tampered)
    with pytest.raises(SettingsError, match="BCB_BASE_URL is not set"):
        bcb_from_environment.apply(with_environment(parts, bcb_base_url=None))


@pytest.mark.parametrize(
    "given",
    [
        {"bcb_client_id": "an-id", "bcb_client_secret": SecretStr("a-secret")},
        {"bcb_message_signing_secret": SecretStr(SECRET)},
        {"bcb_base_url": "https://other.example"},
    ],
)
def test_nothing_of_it_is_put_into_a_source_of_another_bank(parts: Runtime, given: dict[str, Any]) -> None:
    others.add(parts, "banqup", others.TOKEN, name="bcb", base_url="http://127.0.0.1:9", token_in="header")
    before = everything(parts)
    with pytest.raises(SettingsError, match="the source bcb is of another bank, banqup"):
        bcb_from_environment.apply(with_environment(parts, **{**NOTHING, **given}))
    assert everything(parts) == before


def test_a_source_that_is_of_another_bank_since_they_were_applied_stops_the_start(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    with parts.database.write() as connection:
        sources.change(connection, stored(parts)[0].id, bank="banqup")
    with pytest.raises(SettingsError, match="the source bcb is of another bank, banqup"):
        bcb_from_environment.apply(with_environment(parts))


def test_where_the_environment_says_the_address_that_counts(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    source = stored(parts)[0]
    with parts.database.write() as connection:
        sources.change(connection, source.id, environment_digest=None, base_url="https://thief.example")
    assert bcb_from_environment.apply(with_environment(parts))
    found, credentials, _ = stored(parts)
    assert found.base_url == "http://127.0.0.1:9"
    assert credentials == {"client_id": "an-id", "client_secret": "a-secret"}


def test_another_address_in_the_environment_seals_the_stored_credentials_anew(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    alone = {"bcb_client_id": None, "bcb_client_secret": None, "bcb_base_url": "https://other.example"}
    assert bcb_from_environment.apply(with_environment(parts, **alone))
    found, credentials, _ = stored(parts)
    assert found.base_url == "https://other.example"
    assert credentials == {"client_id": "an-id", "client_secret": "a-secret"}


def test_an_address_that_the_environment_moves_is_in_the_audit_log_and_a_secret_that_stays_is_not(
    parts: Runtime,
) -> None:
    bcb_from_environment.apply(with_environment(parts))
    before = noted(parts)
    bcb_from_environment.apply(with_environment(parts, bcb_base_url="https://other.example"))
    after = [entry for entry in noted(parts) if entry not in before]
    assert after == [("environment", "source.set", {"source": "bcb", "base_url": "https://other.example"})]
    assert [what for _, what, _ in noted(parts)].count("secret.set") == 1
    bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER)))
    assert ("environment", "secret.set", {"source": "bcb", "version": 2}) in noted(parts)


@pytest.fixture
def unfinished(parts: Runtime) -> SourceRecord:
    """The source as the environment made it, with a rotation of which nothing but the intent is written down."""
    bcb_from_environment.apply(with_environment(parts))
    source = stored(parts)[0]
    intent = Intent(CredentialChangeKind.ROTATE, "an-id", None, "a-key", "cli:bob", "a-token")
    now = parts.clock()
    with parts.database.write() as connection:
        credential_changes.begin(connection, parts.encryption, source, intent, now=now, due_at=now)
    return source


def pending(parts: Runtime, source: SourceRecord) -> bool:
    with parts.database.read() as connection:
        return credential_changes.pending(connection, source.id) is not None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://other.example"])
def test_other_credentials_give_an_unfinished_change_up_whose_answer_would_be_put_over_them(
    parts: Runtime, unfinished: SourceRecord, url: str
) -> None:
    before = noted(parts)
    given = with_environment(parts, bcb_client_secret=SecretStr("a-newer-one"), bcb_base_url=url)
    assert bcb_from_environment.apply(given)
    assert not pending(parts, unfinished)
    about = {"source": "bcb", "begun_at": parts.clock().isoformat()}
    assert noted(parts)[len(before)] == ("environment", "credentials.rotate.abandoned", about)
    assert stored(parts)[1] == {"client_id": "an-id", "client_secret": "a-newer-one"}


def test_other_credentials_beside_a_secret_that_makes_no_key_give_nothing_up_nor_is_that_logged(
    parts: Runtime, unfinished: SourceRecord, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(parts)
    given = {"bcb_client_secret": SecretStr("a-newer-one"), "bcb_message_signing_secret": SecretStr("not Base64!")}
    with pytest.raises(SettingsError, match="BCB_MESSAGE_SIGNING_SECRET is wrong"):
        bcb_from_environment.apply(with_environment(parts, **given))
    assert everything(parts) == before
    assert pending(parts, unfinished)
    assert caplog.messages == []


def test_the_same_credentials_beside_another_secret_leave_an_unfinished_change_alone(
    parts: Runtime, unfinished: SourceRecord
) -> None:
    bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER)))
    assert pending(parts, unfinished)


ROTATED = {"client_id": "an-id", "client_secret": "rotated"}


@pytest.fixture
def rotated(parts: Runtime, unfinished: SourceRecord) -> SourceRecord:
    """The source whose variables are outdated: it was rotated here once, and a second time is unfinished."""
    with parts.database.write() as connection:
        sources.set_credentials(connection, parts.encryption, unfinished, ROTATED)
        signing_secrets.put(
            connection, parts.encryption, unfinished.id, "B" * 43 + "=", now=parts.clock(), grace_seconds=0
        )
    return unfinished


def test_another_secret_leaves_rotated_credentials_and_an_unfinished_change_alone(
    parts: Runtime, rotated: SourceRecord
) -> None:
    bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER)))
    assert stored(parts)[1:] == (ROTATED, [OTHER, "B" * 43 + "="])
    assert pending(parts, rotated)


def test_other_credentials_leave_a_rotated_secret_alone(parts: Runtime, rotated: SourceRecord) -> None:
    bcb_from_environment.apply(with_environment(parts, bcb_client_secret=SecretStr("a-newer-one")))
    assert stored(parts)[1:] == ({"client_id": "an-id", "client_secret": "a-newer-one"}, ["B" * 43 + "="])
    assert not pending(parts, rotated)


def test_another_secret_leaves_an_address_of_the_command_line_and_credentials_say_where_they_go(parts: Runtime) -> None:
    bcb_from_environment.apply(with_environment(parts))
    source_changes.change(parts, "cli:bob", "bcb", NewSettings(base_url="https://other.example"))
    given = {"bcb_message_signing_secret": SecretStr(OTHER)}
    bcb_from_environment.apply(with_environment(parts, **given))
    assert stored(parts)[0].base_url == "https://other.example"
    bcb_from_environment.apply(with_environment(parts, **given, bcb_client_secret=SecretStr("a-newer-one")))
    assert stored(parts)[0].base_url == "http://127.0.0.1:9"


def test_a_start_with_the_same_variables_tells_from_then_on_which_of_them_changed_where_an_older_release_did_not(
    parts: Runtime, rotated: SourceRecord
) -> None:
    digest = stored(parts)[0].environment_digest or ""
    with parts.database.write() as connection:
        sources.change(connection, rotated.id, environment_digest=digest.split()[0])
    assert not bcb_from_environment.apply(with_environment(parts))
    bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr(OTHER)))
    assert stored(parts)[1] == ROTATED


@pytest.mark.parametrize("given", [{}, {"bcb_client_id": None, "bcb_client_secret": None}], ids=["the same", "none"])
def test_a_source_is_not_moved_without_other_credentials_while_a_change_is_unfinished(
    parts: Runtime, unfinished: SourceRecord, given: dict[str, Any]
) -> None:
    before = everything(parts)
    with pytest.raises(SettingsError, match=r"BCB_BASE_URL .* `receiver credentials rotate bcb`"):
        bcb_from_environment.apply(with_environment(parts, bcb_base_url="https://other.example", **given))
    assert everything(parts) == before
    assert pending(parts, unfinished)


def test_a_secret_that_could_be_guessed_stops_the_start(parts: Runtime) -> None:
    with pytest.raises(SettingsError, match="16 are the least"):
        bcb_from_environment.apply(with_environment(parts, bcb_message_signing_secret=SecretStr("c2hvcnQ=")))
