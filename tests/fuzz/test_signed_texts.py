"""Cursors, plans and forms, fuzzed: a text that was not signed here, for this purpose, unchanged, is refused."""

from datetime import UTC, datetime
from random import Random

import pytest
from fuzz.mutations import INTERESTING, RANDOMS, changed_bytes
from hypothesis import assume, example, given
from hypothesis import strategies as st

from receiver.feed.cursors import CursorInvalid, Cursors
from receiver.replay.plan import Planner, PlanWrong
from receiver.signing.signed_text import NotOurs, SignedText

KEYS = ["n" * 43, "o" * 43]
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

PURPOSES = (
    *("cursor:feed", "cursor:events", "cursor:payments", "cursor:exceptions", "cursor:consumers", "cursor:days"),
    *("cursor:day lines", "cursor:consumer:ledger", "cursor:consumer:ledger2", "replay plan", "staff form"),
    *("staff message", "staff provider", ""),
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

PLAN = {
    "plan": "pln_1",
    "target": "feed",
    "filter": {"source": ["bcb"]},
    "consumer": None,
    "per_second": None,
    "reason": "a test",
    "through": "7",
    "total": 3,
    "expires": NOW.timestamp() + 60,
}


def changed(random: Random, text: str) -> str:
    """The text with a few characters changed; any bytes may come in a query."""
    return changed_bytes(random, text.encode()).decode(
        "utf-8", "surrogateescape" if random.random() < 0.5 else "replace"
    )


@given(place=st.integers() | st.text(max_size=60), random=RANDOMS)
def test_a_cursor_that_was_changed_is_invalid(place: int | str, random: Random) -> None:
    cursors = Cursors(KEYS, "feed")
    made = cursors.make(place)
    other = changed(random, made)
    assume(other != made)
    for read in (cursors.read_number, cursors.read_text):
        with pytest.raises(CursorInvalid):
            read(other)


@given(value=VALUES, made_for=st.sampled_from(PURPOSES), read_for=st.sampled_from(PURPOSES))
def test_a_text_of_another_purpose_is_refused(value: object, made_for: str, read_for: str) -> None:
    made = SignedText(KEYS, made_for).make(value)
    if made_for == read_for:
        assert SignedText(KEYS[::-1], read_for).read(made) == value
        return
    with pytest.raises(NotOurs):
        SignedText(KEYS, read_for).read(made)


@given(value=VALUES, key=st.text(max_size=60), text=st.text(max_size=80))
@example(7, "", "")
@example(7, "n" * 42, ".")
@example(7, "n" * 44, "." * 1000)
def test_a_text_of_another_key_or_of_none_is_refused(value: object, key: str, text: str) -> None:
    assume(key.encode("utf-8", "replace") not in [each.encode() for each in KEYS])
    ours = SignedText(KEYS, "cursor:feed")
    for made in (_made_by(key, value), text):
        with pytest.raises(NotOurs):
            ours.read(made)


def _made_by(key: str, value: object) -> str:
    return SignedText([key.encode("utf-8", "replace").decode()], "cursor:feed").make(value)


@given(value=VALUES)
def test_a_signed_value_of_another_kind_is_no_cursor(value: object) -> None:
    """Only the owner of the key makes one; a cursor of an older release is one."""
    assume(not isinstance(value, int | str))
    cursor = SignedText(KEYS, "cursor:feed").make(value)
    for read in (Cursors(KEYS, "feed").read_number, Cursors(KEYS, "feed").read_text):
        with pytest.raises(CursorInvalid):
            read(cursor)


@given(random=RANDOMS)
def test_a_plan_that_was_changed_is_wrong(random: Random) -> None:
    planner, made = Planner(KEYS, 0), SignedText(KEYS, "replay plan").make(PLAN)
    assert planner.read(made, NOW) == PLAN
    other = changed(random, made)
    assume(other != made)
    with pytest.raises(PlanWrong):
        planner.read(other, NOW)


@given(random=RANDOMS)
def test_two_plans_spliced_are_none(random: Random) -> None:
    texts = SignedText(KEYS, "replay plan")
    first, second = texts.make(PLAN), texts.make({**PLAN, "total": 10**6, "reason": "another"})
    at, other_at = random.randint(0, len(first)), random.randint(0, len(second))
    spliced = first[:at] + second[other_at:]
    assume(spliced not in (first, second))
    with pytest.raises(PlanWrong):
        Planner(KEYS, 0).read(spliced, NOW)


@pytest.mark.parametrize("piece", INTERESTING, ids=repr)
def test_a_plan_with_a_piece_before_or_behind_is_wrong(piece: bytes) -> None:
    made, text = SignedText(KEYS, "replay plan").make(PLAN), piece.decode("latin-1")
    assume_changed = [text + made, made + text, made.replace(".", f".{text}", 1)] if text else []
    for other in assume_changed:
        with pytest.raises(PlanWrong):
            Planner(KEYS, 0).read(other, NOW)
