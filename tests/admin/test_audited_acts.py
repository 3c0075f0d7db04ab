"""Each act of a person is in the audit log, in the act's own transaction; one that fails leaves nothing behind."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from admin.looking import WHO, everything, noted
from bank import SECRET
from conftest import add_source
from replay.sending import REASON, planned, started

from receiver.admin import replays, secrets, sources, tokens
from receiver.admin.sources import BaseUrlMissing, BaseUrlWrong, CredentialsIncomplete, NewSource
from receiver.banks import BankNotKnown
from receiver.banks.protocol import OptionsWrong
from receiver.model import NameUnknown, NotFound, NotPossible
from receiver.replay.plan import PlanWrong
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import api_tokens, audit
from receiver.store.api_tokens import TokenExists
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceExists, SourceNameWrong

CREDENTIALS = {"client_id": "the-client", "client_secret": "the-hidden-secret"}
OTHER = "A" * 43 + "="

Act = Callable[[Runtime], object]


@pytest.fixture
def set_up(parts: Runtime) -> Runtime:
    """The source `bcb` with one secret, and the token `old`."""
    add_source(parts)
    with parts.database.write() as connection:
        api_tokens.create(connection, name="old", scopes=["feed:read"], sources=[], now=parts.clock(), expires_at=None)
    return parts


DONE: dict[str, tuple[Act, str, dict[str, Any]]] = {
    "add a source": (
        lambda parts: sources.add(parts, WHO, NewSource("second", "bcb"), CREDENTIALS),
        "source.added",
        {"source": "second", "bank": "bcb", "environment": "sandbox", "credentials": True},
    ),
    "disable a source": (lambda parts: sources.disable(parts, WHO, "bcb"), "source.disabled", {"source": "bcb"}),
    "enable a source": (lambda parts: sources.enable(parts, WHO, "bcb"), "source.enabled", {"source": "bcb"}),
    "set credentials": (
        lambda parts: sources.set_credentials(parts, WHO, "bcb", CREDENTIALS),
        "source.credentials",
        {"source": "bcb"},
    ),
    "set a secret": (
        lambda parts: secrets.put(parts, WHO, "bcb", f" {OTHER}\n"),
        "secret.set",
        {"source": "bcb", "version": 2},
    ),
    "expire a secret": (
        lambda parts: secrets.expire(parts, WHO, "bcb", 1),
        "secret.expired",
        {"source": "bcb", "version": 1},
    ),
    "encrypt anew": (lambda parts: secrets.reencrypt(parts, WHO), "secrets.reencrypted", {"number": 2}),
    "create a token": (
        lambda parts: tokens.create(parts, WHO, "ledger", source_names=["bcb"], lifetime=timedelta(days=90)),
        "token.created",
        {
            "token": "ledger",
            "scopes": ["events:read", "feed:read", "payments:read"],
            "sources": ["bcb"],
            "expires_at": "2026-06-02T12:00:00+00:00",
        },
    ),
    "revoke a token": (lambda parts: tokens.revoke(parts, WHO, "old"), "token.revoked", {"token": "old"}),
}


@pytest.mark.parametrize(("act", "what", "about"), DONE.values(), ids=DONE)
def test_an_act_is_noted_with_who_did_what_to_what(set_up: Runtime, act: Act, what: str, about: dict[str, Any]) -> None:
    act(set_up)
    assert noted(set_up) == [(WHO, what, about)]
    assert "the-hidden-secret" not in str(noted(set_up))


@pytest.mark.parametrize("act", [act for act, _, _ in DONE.values()], ids=DONE)
def test_an_act_that_can_not_be_noted_is_not_done(set_up: Runtime, act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    before = everything(set_up)
    monkeypatch.setattr(audit, "write", fail)
    with pytest.raises(StoreUnavailable):
        act(set_up)
    assert everything(set_up) == before


FAILS: dict[str, tuple[Act, type[Exception]]] = {
    "add one that there is": (lambda parts: sources.add(parts, WHO, NewSource("bcb", "bcb")), SourceExists),
    "add one of a wrong name": (lambda parts: sources.add(parts, WHO, NewSource("B C", "bcb")), SourceNameWrong),
    "add one of no bank": (lambda parts: sources.add(parts, WHO, NewSource("b", "moon")), BankNotKnown),
    "add one elsewhere": (lambda parts: sources.add(parts, WHO, NewSource("b", "bcb", "moon")), OptionsWrong),
    "add one at no address": (
        lambda parts: sources.add(parts, WHO, NewSource("b", "bcb", base_url="ftp://bank")),
        BaseUrlWrong,
    ),
    "add one whose address is not known": (
        lambda parts: sources.add(parts, WHO, NewSource("b", "banqup", "production", options={"token_in": "path"})),
        BaseUrlMissing,
    ),
    "add one with a wrong option": (
        lambda parts: sources.add(parts, WHO, NewSource("b", "bcb", options={"colour": "blue"})),
        OptionsWrong,
    ),
    "add one with half its credentials": (
        lambda parts: sources.add(parts, WHO, NewSource("b", "bcb"), {"client_id": "the-client"}),
        CredentialsIncomplete,
    ),
    "add one with credentials for no API": (
        lambda parts: sources.add(parts, WHO, NewSource("b", "standard_webhooks"), CREDENTIALS),
        NotPossible,
    ),
    "disable none": (lambda parts: sources.disable(parts, WHO, "none"), NotFound),
    "enable none": (lambda parts: sources.enable(parts, WHO, "none"), NotFound),
    "set credentials of none": (lambda parts: sources.set_credentials(parts, WHO, "none", CREDENTIALS), NotFound),
    "set no credentials": (lambda parts: sources.set_credentials(parts, WHO, "bcb", {}), CredentialsIncomplete),
    "set a secret of none": (lambda parts: secrets.put(parts, WHO, "none", SECRET), NotFound),
    "set what is no secret": (lambda parts: secrets.put(parts, WHO, "bcb", "no Base64!"), Refusal),
    "expire no secret": (lambda parts: secrets.expire(parts, WHO, "bcb", 2), NotFound),
    "create a token twice": (lambda parts: tokens.create(parts, WHO, "old"), TokenExists),
    "create a token for no source": (
        lambda parts: tokens.create(parts, WHO, "new", source_names=["bcb", "none"]),
        NameUnknown,
    ),
    "revoke no token": (lambda parts: tokens.revoke(parts, WHO, "none"), NotFound),
    "start no plan": (lambda parts: replays.start(parts, WHO, "forged"), PlanWrong),
    "cancel no replay": (lambda parts: replays.cancel(parts, WHO, "rpl_none"), NotFound),
}


@pytest.mark.parametrize(("act", "error"), FAILS.values(), ids=FAILS)
def test_an_act_that_fails_writes_nothing(set_up: Runtime, act: Act, error: type[Exception]) -> None:
    before = everything(set_up)
    with pytest.raises(error) as caught:
        act(set_up)
    assert everything(set_up) == before
    assert "\n" not in str(caught.value)
    assert "the-hidden-secret" not in str(caught.value)


def test_expiring_tells_whether_another_secret_is_valid(set_up: Runtime) -> None:
    secrets.put(set_up, WHO, "bcb", OTHER)
    assert secrets.expire(set_up, WHO, "bcb", 1)
    assert not secrets.expire(set_up, WHO, "bcb", 2)


def test_a_token_s_text_is_in_no_repr_and_in_no_log(set_up: Runtime) -> None:
    made = tokens.create(set_up, WHO, "ledger")
    assert made.text.startswith("rcv_")
    assert made.text not in repr(made)
    assert made.text not in str(noted(set_up))


def test_starting_and_cancelling_a_replay_are_noted_once_each(set_up: Runtime) -> None:
    plan = planned(set_up)
    replay = replays.start(set_up, WHO, plan.token)
    assert replays.start(set_up, WHO, plan.token).id == replay.id
    assert replays.cancel(set_up, WHO, replay.id).state == "cancelled"
    assert noted(set_up) == [
        (WHO, "replay.started", {"replay": replay.id, "target": "feed", "filter": {}, "total": 0}),
        (WHO, "replay.cancelled", {"replay": replay.id, "done": 0}),
    ]
    with set_up.database.read() as connection:
        assert {row.why for row in audit.listing(connection, limit=10)} == {REASON}


def test_a_replay_that_is_over_is_not_cancelled(set_up: Runtime) -> None:
    replay_id = started(set_up, planned(set_up))
    replays.cancel(set_up, WHO, replay_id)
    before = everything(set_up)
    with pytest.raises(NotPossible, match="is over already"):
        replays.cancel(set_up, WHO, replay_id)
    assert everything(set_up) == before
