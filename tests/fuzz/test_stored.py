"""Proven callbacks with odd contents, from the signature to every place where they are shown, on both databases."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

import others
import pytest
from conftest import app_over, make_token
from flask.testing import FlaskClient
from fuzz.genuine import KINDS, some_told
from fuzz.mutations import SEEDED, STRANGE, changed_json, examples
from genuine_pairs import SHAPES, Told
from hypothesis import HealthCheck, given, settings
from others import CONNECTPAY_ADDRESS
from web.staff.signed_in import signed_in

from receiver.model import Role
from receiver.runtime import Runtime

QUESTIONS = [text for text in STRANGE if type(text) is str and 0 < len(text) < 100 and text.isprintable()]


@dataclass(repr=False)
class Everything:
    """All that shows an event: to apps, and to staff who may see all."""

    app: FlaskClient
    staff: FlaskClient
    token: dict[str, str]
    cursor: str = ""

    def __repr__(self) -> str:
        return "everything"

    def send(self, told: Told, kind: str) -> list[str]:
        """Hand a callback in, which must be taken; return its events."""
        signed = KINDS[kind].sign(told)
        answer = self.app.post(
            signed.path,
            data=signed.body,
            headers=signed.headers,
            environ_base={"REMOTE_ADDR": CONNECTPAY_ADDRESS},
        )
        assert answer.status_code == 200, answer.text
        return [entry["eventid"] for entry in self.follow() if "eventid" in entry]

    def follow(self) -> list[dict[str, str]]:
        """The feed from where it was read last."""
        found = self.api("/feed", limit="100", **({"after": self.cursor} if self.cursor else {}))
        self.cursor = found["next"]
        entries: list[dict[str, str]] = found["data"]
        return entries

    def api(self, path: str, *others: int, **query: str) -> Any:
        answer = self.app.get(f"/api/v1{path}", headers=self.token, query_string=query)
        assert answer.status_code in (200, *others), (path, query, answer.text)
        return answer.get_json(silent=True)

    def page(self, path: str) -> None:
        answer = self.staff.get(path)
        assert answer.status_code == 200, (path, answer.text)


@pytest.fixture
def everything(parts: Runtime) -> Everything:
    for bank in SHAPES:
        kind = KINDS[_kind(bank)]
        others.add(parts, bank, kind.secret, **kind.options)
    app = app_over(parts)
    return Everything(app.test_client(), signed_in(app, parts, Role.ADMIN, payloads=True), make_token(parts))


def _kind(bank: str) -> str:
    return "banqup in a header" if bank == "banqup" else bank


@pytest.mark.parametrize("bank", SHAPES)
@settings(
    max_examples=examples(0.25), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(random=SEEDED)
def test_whatever_was_proven_is_stored_and_shown_everywhere(everything: Everything, bank: str, random: Random) -> None:
    told = some_told(random, bank)
    event_ids = everything.send(Told(changed_json(random, told.text), told.headers), _kind(bank))
    for event_id in event_ids[:3]:
        shown = everything.api(f"/events/{event_id}")
        assert shown["id"] == event_id
        everything.api(f"/events/{event_id}/payload")
        everything.api(f"/events/{event_id}/raw")
        everything.page(f"/staff/events/{event_id}")
        if shown["payment_id"]:
            everything.api(f"/payments/{bank}/{quote(shown['payment_id'], safe='')}", 404)
            everything.api("/events", payment_id=shown["payment_id"])
    everything.api("/payments")
    question = random.choice(QUESTIONS)
    everything.api("/events", q=question)
    everything.page(f"/staff/events?q={quote(question)}")


@pytest.fixture(autouse=True)
def _no_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a reader did not expect is logged with its traceback, and stored as unrecognised: that is a fault too."""
    caplog.set_level(logging.ERROR)
    yield
    assert caplog.get_records("call") == []
