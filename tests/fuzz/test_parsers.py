"""Parsers, fuzzed: whatever a proven callback holds it is read or stored as unrecognised, and never a fault of ours."""

import json
import logging
from collections.abc import Iterator
from random import Random

import pytest
from fuzz.genuine import NOW, some_told
from fuzz.mutations import DEEP, RANDOMS, changed_bytes, changed_json, examples
from genuine_pairs import MESSAGE_ID, SHAPES, TIMESTAMP, Told
from hypothesis import given, settings

from receiver import banks
from receiver.banks.callback import Proof
from receiver.banks.json_values import TEXT_CHARACTERS_MAX, NotUnderstood
from receiver.inbox.payload import indented
from receiver.inbox.verification import events
from receiver.store.records import NewEvent

FACTS_BYTES_MAX = 4000
"""What the facts of one event may come to besides what its callback holds."""


def read(bank: str, told: Told) -> list[NewEvent]:
    return events(banks.named(bank), Proof("signature", "secret:1", told.text.encode(), headers=told.headers), NOW)


def changed(random: Random, bank: str) -> Told:
    """What a bank may tell, with other values, and other headers where it tells something in these."""
    told = some_told(random, bank)
    headers = {
        # A message's id was looked at with its signature: it is visible ASCII by the time it is read.
        name: changed_bytes(random, value.encode()).decode("latin-1")
        if random.random() < 0.3 and name != MESSAGE_ID
        else value
        for name, value in told.headers.items()
    }
    return Told(changed_json(random, told.text), headers)


@pytest.fixture(autouse=True)
def _no_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a reader did not expect is logged with its traceback, and stored as unrecognised: that is a fault too."""
    caplog.set_level(logging.ERROR)
    yield
    assert caplog.get_records("call") == []


@pytest.mark.parametrize("bank", SHAPES)
@settings(max_examples=examples(5))
@given(random=RANDOMS)
def test_any_body_is_read_within_bounds(bank: str, random: Random) -> None:
    told = changed(random, bank)
    found = read(bank, told)
    assert 1 <= len(found) <= max(1, len(told.text))
    types = banks.named(bank).event_types
    for event in found:
        assert types is None or any(event.type == each or event.type.startswith(each.rstrip("*")) for each in types)
        for word in (event.type, event.subject, event.payment_id, event.currency, event.claimed_status):
            assert word is None or (0 < len(word) <= TEXT_CHARACTERS_MAX and "\0" not in word)
            # A half of a surrogate pair is in no text that a database takes.
            (word or "").encode()
        facts = json.dumps(event.facts, ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in facts
        assert len(facts.encode()) <= FACTS_BYTES_MAX + 2 * len(told.text.encode())


@pytest.mark.parametrize("bank", SHAPES)
@given(random=RANDOMS)
def test_the_same_body_is_the_same_event(bank: str, random: Random) -> None:
    told = changed(random, bank)
    assert [event.identity for event in read(bank, told)] == [event.identity for event in read(bank, told)]


@pytest.mark.parametrize("bank", SHAPES)
@given(random=RANDOMS)
def test_any_body_is_parted_into_its_notifications_and_shown(bank: str, random: Random) -> None:
    told = changed(random, bank)
    try:
        listed = list(banks.named(bank).notifications(told.text.encode()))
    except NotUnderstood:
        listed = []
    for _, text in listed:
        json.loads(indented(text), parse_int=str)


NESTED = ['{"a":' * DEEP + "1" + "}" * DEEP, "[" * 100_000, '{"data":' * 100_000, '["' * 100_000]
NUMBERS = ["1" * 100_000, '{"amount":1e999999999}', '{"amount":-0.' + "0" * 100_000 + "1}", '{"id":' + "9" * 5000 + "}"]
TEXTS = [
    "",
    "\ufeff",
    "\ufeff{}",
    "{}\0",
    '{"\ud7ff":"\\ud800"}',
    '"' + "\\u0000" * 1000 + '"',
    '{"a":1}{"a":1}',
    "NaN",
]


@pytest.mark.parametrize("bank", SHAPES)
@pytest.mark.parametrize("text", [*NESTED, *NUMBERS, *TEXTS])
def test_what_breaks_other_readers_is_read(bank: str, text: str) -> None:
    headers = {"connectpay": {TIMESTAMP: ""}, "standard_webhooks": {MESSAGE_ID: "m"}}.get(bank, {})
    assert len(read(bank, Told(text, headers))) == 1
