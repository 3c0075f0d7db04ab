"""Encryption at rest: keys can be rotated, what was sealed stays where it was sealed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.store.encryption import DecryptionFailed, Encryption


def key(number: int) -> str:
    return base64.urlsafe_b64encode(bytes([number]) * 32).decode()


@given(st.text())
def test_what_is_sealed_opens_again(text: str) -> None:
    encryption = Encryption([key(1)])
    assert encryption.decrypt("a secret", encryption.encrypt("a secret", text)) == text


def test_the_sealed_bytes_do_not_show_the_text() -> None:
    assert b"hunter2" not in Encryption([key(1)]).encrypt("a secret", "hunter2")


def test_the_same_text_is_sealed_otherwise_each_time() -> None:
    encryption = Encryption([key(1)])
    assert encryption.encrypt("a secret", "x") != encryption.encrypt("a secret", "x")


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed() -> None:
    sealed = Encryption([key(1)]).encrypt("a secret", "x")
    assert Encryption([key(2), key(1)]).decrypt("a secret", sealed) == "x"


def test_the_first_key_seals() -> None:
    sealed = Encryption([key(2), key(1)]).encrypt("a secret", "x")
    assert Encryption([key(2)]).decrypt("a secret", sealed) == "x"
    with pytest.raises(DecryptionFailed):
        Encryption([key(1)]).decrypt("a secret", sealed)


def test_a_wrong_key_opens_nothing_and_says_where_to_look() -> None:
    sealed = Encryption([key(1)]).encrypt("a secret", "hunter2")
    with pytest.raises(DecryptionFailed, match="no key in RECEIVER_SECRET_KEYS opens the stored a secret"):
        Encryption([key(3)]).decrypt("a secret", sealed)


def test_what_was_moved_to_another_place_does_not_open() -> None:
    encryption = Encryption([key(1)])
    with pytest.raises(DecryptionFailed, match="sealed for another place"):
        encryption.decrypt("credentials of source 2", encryption.encrypt("credentials of source 1", "x"))


@pytest.mark.parametrize("place", [0, 9, 30, -1])
def test_one_changed_byte_is_noticed(place: int) -> None:
    encryption = Encryption([key(1)])
    sealed = bytearray(encryption.encrypt("a secret", "x"))
    sealed[place] ^= 1
    with pytest.raises(DecryptionFailed):
        encryption.decrypt("a secret", bytes(sealed))


@given(st.binary(max_size=200))
def test_what_was_never_sealed_does_not_open(junk: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        Encryption([key(1)]).decrypt("a secret", junk)
