"""Encryption at rest: keys can be rotated, what was sealed stays where it was sealed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.store.sealing import SealBroken, Sealer


def key(number: int) -> str:
    return base64.urlsafe_b64encode(bytes([number]) * 32).decode()


@given(st.text())
def test_what_is_sealed_opens_again(text: str) -> None:
    sealer = Sealer([key(1)])
    assert sealer.open("a secret", sealer.seal("a secret", text)) == text


def test_the_sealed_bytes_do_not_show_the_text() -> None:
    assert b"hunter2" not in Sealer([key(1)]).seal("a secret", "hunter2")


def test_the_same_text_is_sealed_otherwise_each_time() -> None:
    sealer = Sealer([key(1)])
    assert sealer.seal("a secret", "x") != sealer.seal("a secret", "x")


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed() -> None:
    sealed = Sealer([key(1)]).seal("a secret", "x")
    assert Sealer([key(2), key(1)]).open("a secret", sealed) == "x"


def test_the_first_key_seals() -> None:
    sealed = Sealer([key(2), key(1)]).seal("a secret", "x")
    assert Sealer([key(2)]).open("a secret", sealed) == "x"
    with pytest.raises(SealBroken):
        Sealer([key(1)]).open("a secret", sealed)


def test_a_wrong_key_opens_nothing_and_says_where_to_look() -> None:
    sealed = Sealer([key(1)]).seal("a secret", "hunter2")
    with pytest.raises(SealBroken, match="no key in RECEIVER_SECRET_KEYS opens the stored a secret"):
        Sealer([key(3)]).open("a secret", sealed)


def test_what_was_moved_to_another_place_does_not_open() -> None:
    sealer = Sealer([key(1)])
    with pytest.raises(SealBroken, match="sealed for another place"):
        sealer.open("credentials of source 2", sealer.seal("credentials of source 1", "x"))


@pytest.mark.parametrize("place", [0, 9, 30, -1])
def test_one_changed_byte_is_noticed(place: int) -> None:
    sealer = Sealer([key(1)])
    sealed = bytearray(sealer.seal("a secret", "x"))
    sealed[place] ^= 1
    with pytest.raises(SealBroken):
        sealer.open("a secret", bytes(sealed))


@given(st.binary(max_size=200))
def test_what_was_never_sealed_does_not_open(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        Sealer([key(1)]).open("a secret", junk)
