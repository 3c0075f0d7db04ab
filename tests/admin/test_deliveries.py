"""Verifying rejected deliveries anew: which are chosen, and what is noted."""

import pytest
from admin.looking import WHO, everything, noted
from bank import SECRET, BankSigner, deposit
from conftest import StandingClock, add_source
from flask.testing import FlaskClient

from receiver.admin import deliveries, secrets
from receiver.inbox import reverify
from receiver.model import NameUnknown, NotFound, Verdict
from receiver.runtime import Runtime
from receiver.store import deliveries as stored
from receiver.store.database import StoreUnavailable

OLD = "A" * 43 + "="


@pytest.fixture
def rejected(
    parts: Runtime, client: FlaskClient, bank: BankSigner, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Three deliveries that were rejected for want of the secret that is known by now; two of bcb, one of another."""
    for name in ("bcb", "other"):
        add_source(parts, name, secret=OLD)
    for name, payment in (("bcb", "FT1"), ("other", "FT2"), ("bcb", "FT3")):
        clock.forward(1)
        signed = bank.sign(deposit(transactionId=payment), path=f"/webhooks/{name}")
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 401
    for name in ("bcb", "other"):
        secrets.put(parts, "cli:setup", name, SECRET)
    monkeypatch.setattr(deliveries, "PART", 2)
    with parts.database.read() as connection:
        return [row.id for row in reversed(stored.rejected(connection, None, below=None, limit=10))]


def reverified(parts: Runtime) -> list[dict[str, object]]:
    return [about for who, what, about in noted(parts) if (who, what) == (WHO, "deliveries.reverified")]


def test_all_that_are_stored_are_accepted_and_noted_in_one_entry(parts: Runtime, rejected: list[str]) -> None:
    done = deliveries.reverify(parts, WHO)
    assert (done.verified, done.accepted) == (3, rejected)
    assert reverified(parts) == [{"source": None, "deliveries": rejected, "accepted": 3}]


def test_a_source_s_own_are_chosen(parts: Runtime, rejected: list[str]) -> None:
    assert deliveries.reverify(parts, WHO, source_name="bcb").accepted == [rejected[0], rejected[2]]
    assert reverified(parts) == [{"source": "bcb", "deliveries": [rejected[0], rejected[2]], "accepted": 2}]


def test_those_that_are_named_are_chosen_once_each(parts: Runtime, rejected: list[str]) -> None:
    assert deliveries.reverify(parts, WHO, [rejected[2], rejected[1], rejected[2]]).accepted == rejected[1:]


def test_one_entry_names_no_more_than_it_can_hold(
    parts: Runtime, rejected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "AUDITED", 2)
    deliveries.reverify(parts, WHO)
    assert reverified(parts) == [{"source": None, "deliveries": rejected[:2], "accepted": 3}]


@pytest.mark.usefixtures("rejected")
def test_where_none_is_accepted_nothing_is_noted(parts: Runtime) -> None:
    for version in (1, 2):
        secrets.expire(parts, "cli:setup", "other", version)
    before = everything(parts)
    done = deliveries.reverify(parts, WHO, source_name="other")
    assert (done.verified, done.accepted) == (1, [])
    assert everything(parts) == before


@pytest.mark.parametrize(("ids", "source", "kind"), [(["dlv_none"], None, NotFound), ([], "none", NameUnknown)])
def test_what_does_not_exist_leaves_all_others_alone(
    parts: Runtime, rejected: list[str], ids: list[str], source: str | None, kind: type[Exception]
) -> None:
    before = everything(parts)
    with pytest.raises(kind):
        deliveries.reverify(parts, WHO, [rejected[0], *ids], source)
    assert everything(parts) == before


def test_what_was_accepted_before_a_failure_is_noted(
    parts: Runtime, rejected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reverify.verify_stored

    def fail_at_the_second(runtime: Runtime, delivery_id: str) -> Verdict | None:
        if delivery_id == rejected[1]:
            raise StoreUnavailable("the disk is full")
        return real(runtime, delivery_id)

    monkeypatch.setattr(reverify, "verify_stored", fail_at_the_second)
    with pytest.raises(StoreUnavailable):
        deliveries.reverify(parts, WHO)
    assert reverified(parts) == [{"source": None, "deliveries": rejected[:1], "accepted": 1}]


def test_explaining_a_delivery_says_what_fits_and_is_noted(parts: Runtime, rejected: list[str]) -> None:
    explained = deliveries.explain(parts, WHO, rejected[0])
    assert explained.delivery.id == rejected[0]
    assert [fit.match.key_id for fit in explained.report.fits] == ["secret:2"]
    before = everything(parts)
    assert noted(parts)[-1] == (WHO, "deliveries.explained", {"source": "bcb", "delivery": rejected[0]})
    with pytest.raises(NotFound):
        deliveries.explain(parts, WHO, "dlv_none")
    assert everything(parts) == before
