"""Static tokens: which one was shown, and what may be kept of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.signing import static_token
from receiver.signing.errors import Refusal

TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OLD = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
KNOWN = [("secret:2", TOKEN), ("secret:1", OLD)]


def reason(shown: bytes, *, hidden: bool = False) -> str:
    with pytest.raises(Refusal) as refused:
        static_token.match(KNOWN, shown, hidden=hidden)
    return refused.value.reason


def test_the_current_token_and_the_one_before_it_are_told_apart() -> None:
    assert static_token.match(KNOWN, TOKEN.encode()) == "secret:2"
    assert static_token.match(KNOWN, OLD.encode()) == "secret:1"


def test_no_token_is_missing_and_another_one_is_wrong() -> None:
    assert (reason(b""), reason(b"wrong")) == ("token_missing", "token_mismatch")


@given(st.binary(min_size=1))
def test_nothing_but_a_token_passes(shown: bytes) -> None:
    assert shown in (TOKEN.encode(), OLD.encode()) or reason(shown) == "token_mismatch"


def test_what_is_hidden_is_known_again_but_holds_no_token() -> None:
    hidden = static_token.hide(TOKEN.encode())
    assert TOKEN.encode() not in hidden
    assert static_token.match(KNOWN, hidden, hidden=True) == "secret:2"


def test_a_digest_read_from_a_database_does_not_pass_for_the_token() -> None:
    assert reason(static_token.hide(TOKEN.encode())) == "token_mismatch"


def test_a_token_in_the_clear_is_not_taken_for_a_hidden_one() -> None:
    assert reason(TOKEN.encode(), hidden=True) == "token_mismatch"


def test_without_a_token_that_was_set_nothing_passes() -> None:
    with pytest.raises(Refusal, match="secret_not_set"):
        static_token.ids([])


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 15, "a" * 201, "with a space in it", "zeile\numgebrochen!!", "ü" * 20]
)
def test_a_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="secret_malformed"):
        static_token.check(text)


@pytest.mark.parametrize("text", ["a" * 20 + "/b", "a" * 20 + "%41", "a" * 20 + "?", "a" * 20 + "="])
def test_in_a_path_a_token_holds_nothing_that_a_path_could_hold_otherwise(text: str) -> None:
    static_token.check(text)
    with pytest.raises(Refusal, match="secret_malformed"):
        static_token.check(text, in_path=True)


def test_a_token_as_the_bank_makes_them_is_taken_anywhere() -> None:
    static_token.check(TOKEN)
    static_token.check(TOKEN, in_path=True)
