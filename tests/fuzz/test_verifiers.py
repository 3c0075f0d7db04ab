"""Verifiers, fuzzed: a genuine callback that was altered is never proven, and nothing but a refusal comes out."""

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from fuzz.genuine import KINDS, NOW, Kind, at, some_told
from fuzz.mutations import INTERESTING, RANDOMS, changed_bytes, changed_headers, changed_json, examples
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.banks.callback import Callback
from receiver.banks.protocol import KeysNotKnown
from receiver.inbox.decompression import BodyTooLarge
from receiver.inbox.verification import Genuine, Refused, check_head, judge

LIMIT = 64 * 1024

PEERS = (
    "127.0.0.1",
    "::1",
    "52.31.71.222",
    "::ffff:52.31.71.221",
    "",
    "not an address",
    "52.31.71.221%eth0",
    "1" * 300,
)


def altered(random: Random, callback: Callback) -> Callback:
    """The callback with one or two things changed: headers, body, path, method, address, coding."""
    for _ in range(random.randint(1, 2)):
        callback = random.choice(ALTERATIONS)(random, callback)
    return callback


def _headers(random: Random, callback: Callback) -> Callback:
    return replace(callback, headers=changed_headers(random, callback.headers)) if callback.headers else callback


def _body(random: Random, callback: Callback) -> Callback:
    return replace(callback, body=changed_bytes(random, callback.body))


def _json(random: Random, callback: Callback) -> Callback:
    return replace(callback, body=changed_json(random, callback.body.decode("utf-8", "replace")).encode())


def _path(random: Random, callback: Callback) -> Callback:
    return at(b"/webhooks/" + changed_bytes(random, callback.path.removeprefix(b"/webhooks/"), 1), callback)


def _moved_border(random: Random, callback: Callback) -> Callback:
    """Move what stands at a border of the signed text from one side to the other."""
    size = random.randint(1, 12)
    return at(callback.path + callback.body[:size], replace(callback, body=callback.body[size:]))


PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress,
    zlib.compress,
    bytes,
    lambda body: gzip.compress(bytes(LIMIT + 1) + body),
)


def _coding(random: Random, callback: Callback) -> Callback:
    pack: Callable[[bytes], bytes] = random.choice(PACKERS)
    packed = pack(callback.body)
    if random.random() < 0.5:
        packed = changed_bytes(random, packed, 1)
    named = random.choice([b"gzip", b"deflate", b"x-gzip", b"br", b"gzip, gzip", b"identity", b"\xff", *INTERESTING])
    return replace(callback, headers={**callback.headers, "content-encoding": named}, body=packed)


def _method(random: Random, callback: Callback) -> Callback:
    return replace(callback, method=random.choice([b"PUT", b"post", b"", b"POST ", b"\xff"]))


def _peer(random: Random, callback: Callback) -> Callback:
    return replace(callback, peer=random.choice(PEERS))


ALTERATIONS = (_headers, _headers, _headers, _body, _json, _path, _moved_border, _coding, _method, _peer)


def is_proven_wrongly(kind: Kind, genuine: Callback, came: Callback, decoded: bytes) -> bool:
    """Tell whether what was proven is anything that the bank never proved."""
    return kind.covers(genuine) != kind.covers(replace(came, body=decoded))


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=examples(5))
@given(random=RANDOMS, ahead=st.sampled_from([0, 0, 0, 300, -301, 86_400 * 400]))
def test_nothing_that_was_altered_is_proven(name: str, random: Random, ahead: int) -> None:
    kind = KINDS[name]
    known, genuine = kind.known, kind.genuine(some_told(random, kind.bank))
    came = altered(random, genuine)
    try:
        judged = judge(came, known, LIMIT, NOW + timedelta(seconds=ahead))
    except (BodyTooLarge, KeysNotKnown):
        return
    assert len(judged.delivery.body) <= max(LIMIT, len(came.body))
    if isinstance(judged, Refused):
        # What a verifier did not expect is a refusal too, and a fault of ours.
        assert judged.refusal.reason != "verification_failed"
        return
    assert not is_proven_wrongly(kind, genuine, came, judged.delivery.body)
    check_head(came, known)


@pytest.mark.parametrize("name", KINDS)
@given(random=RANDOMS)
def test_what_was_not_altered_is_proven(name: str, random: Random) -> None:
    kind = KINDS[name]
    assert isinstance(judge(kind.genuine(some_told(random, kind.bank)), kind.known, LIMIT, NOW), Genuine)


@pytest.mark.parametrize("name", KINDS)
@given(random=RANDOMS)
def test_ways_in_which_a_refused_callback_may_have_been_meant_are_found_without_a_fault(
    name: str, random: Random
) -> None:
    kind = KINDS[name]
    known = kind.known
    came = altered(random, kind.genuine(some_told(random, kind.bank)))
    assert len(list(known.bank.alternatives(came, known.profile.options))) < 1000


@pytest.fixture(autouse=True)
def _no_fault_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A fault in reading what is genuine is caught and logged, and shows in nothing else."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []
