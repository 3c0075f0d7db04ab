from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.signing import concatenation
from receiver.signing.errors import Refusal

METHOD = b"POST"
BARE = b"/webhooks/bcb"
TIMESTAMP = b"1733400000"
GUID = b"0f8fad5b-d9cb-469f-a165-70867728950e"
PATH_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%/"
FORGED = b'POST/webhooks/bcb{"topic":"Deposits","value":{"amount":"9.00"}}'


class Cut(NamedTuple):
    timestamp: bytes
    nonce: bytes
    path: bytes
    body: bytes

    @property
    def text(self) -> bytes:
        return self.timestamp + self.nonce + METHOD + self.path + self.body


def allowed(rule: Callable[..., object], *values: bytes) -> bool:
    try:
        rule(*values)
    except Refusal:
        return False
    return True


def border_allowed(path: bytes, body: bytes) -> bool:
    """The caller's rule, where the one path known beforehand is the source's own, without a channel."""
    if path == BARE:
        return not body.startswith((b"/", b"%"))
    return not concatenation.border_is_open(body)


def places_of_the_method(text: bytes, start: int) -> Iterator[int]:
    while (start := text.find(METHOD, start)) >= 0:
        yield start
        start += 1


def surviving_cuts(text: bytes) -> list[Cut]:
    """Every way to cut the text that no rule refuses; where an earlier part is refused, so is all that follows it."""
    survivors = []
    for end_of_timestamp in range(len(text) + 1):
        timestamp = text[:end_of_timestamp]
        if not allowed(concatenation.read_timestamp, timestamp):
            continue
        for place in places_of_the_method(text, end_of_timestamp):
            nonce = text[end_of_timestamp:place]
            if not allowed(concatenation.check_nonce, nonce, METHOD):
                continue
            start = place + len(METHOD)
            for end in range(start, len(text) + 1):
                cut = Cut(timestamp, nonce, text[start:end], text[end:])
                if allowed(concatenation.check_path, cut.path) and border_allowed(cut.path, cut.body):
                    survivors.append(cut)
    return survivors


def reaches_the_source(path: bytes) -> bool:
    """Another source has other keys; `%` because a server may undo the percent-encoding of a slash."""
    return path == BARE or path.startswith((BARE + b"/", BARE + b"%"))


# The text


@settings(deadline=None)
@given(st.tuples(*[st.binary(max_size=40)] * 5))
def test_the_text_is_the_five_parts_with_nothing_between(parts: tuple[bytes, bytes, bytes, bytes, bytes]) -> None:
    assert concatenation.text(*parts) == b"%b%b%b%b%b" % parts


def test_the_text_with_an_empty_body_ends_with_the_path() -> None:
    assert concatenation.text(TIMESTAMP, b"n", METHOD, BARE, b"") == b"1733400000nPOST/webhooks/bcb"


# The timestamp


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1000000000", 1_000_000_000), (b"1733400000", 1_733_400_000), (b"9999999999", 9_999_999_999), (b"0" * 10, 0)],
)
def test_it_reads_a_timestamp_of_ten_digits(value: bytes, seconds: int) -> None:
    assert concatenation.read_timestamp(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"173340000", id="nine digits"),
        pytest.param(b"17334000000", id="eleven digits"),
        pytest.param(b"-733400000", id="negative, ten bytes"),
        pytest.param(b"-1733400000", id="negative"),
        pytest.param(b"+733400000", id="a plus sign, ten bytes"),
        pytest.param(b"+1733400000", id="a plus sign"),
        pytest.param(b"1733400000.5", id="fractional"),
        pytest.param(b"17334000.0", id="fractional, ten bytes"),
        pytest.param(b"1.7334e+09", id="an exponent, ten bytes"),
        pytest.param(b"1_73340000", id="an underscore, ten bytes"),
        pytest.param(b"0x67519640", id="hexadecimal, ten bytes"),
        pytest.param(b"9" * 5_000, id="huge"),
        pytest.param(b"1" * 2**20, id="a megabyte"),
        pytest.param(b" 1733400000", id="a space before"),
        pytest.param(b"1733400000 ", id="a space after"),
        pytest.param(b" 733400000", id="a space before, ten bytes"),
        pytest.param(b"17334 0000", id="a space inside, ten bytes"),
        pytest.param(b"1733400000\n", id="a trailing newline"),
        pytest.param(b"173340000\n", id="a trailing newline, ten bytes"),
        pytest.param(b"1733400000\r\n", id="a trailing line end"),
        pytest.param(b"\n1733400000", id="a newline before"),
        pytest.param(b"1733400000\x00", id="a trailing NUL"),
        pytest.param(b"17334\x000000", id="a NUL inside, ten bytes"),
        pytest.param("\u0661\u0667\u0663\u0663\u0664\u0660\u0660\u0660\u0660\u0660".encode(), id="Arabic-Indic digits"),
        pytest.param("\u0661\u0667\u0663\u0663\u0664".encode(), id="Arabic-Indic digits, ten bytes"),
        pytest.param("\uff11733400".encode(), id="a full-width digit, nine bytes"),
        pytest.param("\uff117334000".encode(), id="a full-width digit, ten bytes"),
        pytest.param("173340000\u00b2".encode("latin-1"), id="a superscript, ten bytes"),
        pytest.param(b"2024-12-05T12:00:00Z", id="ISO 8601"),
    ],
)
def test_it_refuses_a_timestamp_that_is_not_ten_digits(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^timestamp_malformed: "):
        concatenation.read_timestamp(value)


def test_it_refuses_a_timestamp_in_milliseconds() -> None:
    with pytest.raises(Refusal, match=r"^timestamp_malformed: "):
        concatenation.read_timestamp(b"1733400000000")


def test_its_text_about_a_megabyte_of_timestamp_is_short() -> None:
    with pytest.raises(Refusal) as caught:
        concatenation.read_timestamp(b"\xff" * 2**20)
    assert len(str(caught.value)) < 250


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=12), st.text("0123456789+-. _\n\x00\u0660\uff11", max_size=12).map(str.encode)))
def test_it_reads_exactly_the_timestamps_of_ten_ascii_digits(value: bytes) -> None:
    is_right = len(value) == 10 and all(0x30 <= byte <= 0x39 for byte in value)
    assert allowed(concatenation.read_timestamp, value) == is_right


# The nonce


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(GUID, id="a GUID"),
        pytest.param(b"{" + GUID.upper() + b"}", id="a GUID in braces"),
        pytest.param(b"n", id="one byte"),
        pytest.param(b"n" * 200, id="200 bytes"),
        pytest.param(b"!~", id="the ends of visible ASCII"),
        pytest.param(b"POST", id="the method alone"),
        pytest.param(b"POSTPOSTPOS", id="the method again and again"),
        pytest.param(b"post/", id="the method in lower case"),
        pytest.param(b"/webhooks/bcb", id="a path"),
        pytest.param(b"1733400000", id="ten digits"),
    ],
)
def test_it_accepts_an_opaque_nonce(value: bytes) -> None:
    concatenation.check_nonce(value, METHOD)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"n" * 201, id="201 bytes"),
        pytest.param(b"n" * 2**20, id="a megabyte"),
        pytest.param(b"a\x00b", id="a NUL inside"),
        pytest.param(b"\x00", id="a NUL alone"),
        pytest.param(b"a\x00", id="a NUL after"),
        pytest.param(b"a b", id="a space inside"),
        pytest.param(b" a", id="a space before"),
        pytest.param(b"a ", id="a space after"),
        pytest.param(b" ", id="a space alone"),
        pytest.param(b"a\tb", id="a tab"),
        pytest.param(b"a\n", id="a trailing newline"),
        pytest.param(b"a\r\nX: y", id="a header smuggled in"),
        pytest.param(b"a\x7f", id="DEL"),
        pytest.param("\u00e9".encode(), id="non-ASCII in UTF-8"),
        pytest.param(b"\xe9", id="non-ASCII in Latin-1"),
        pytest.param("a\u200bb".encode(), id="a zero-width space"),
    ],
)
def test_it_refuses_a_nonce_that_is_not_1_to_200_visible_ascii_characters(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^nonce_malformed: .* is not 1 to 200 visible"):
        concatenation.check_nonce(value, METHOD)


@pytest.mark.parametrize("value", [b"POST/", b"aPOST/b", b"POSTPOST/", b"nPOST/webhooks/bcb", b"n" * 195 + b"POST/"])
def test_it_refuses_a_nonce_that_holds_the_method_and_the_start_of_a_path(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^nonce_malformed: it holds the method"):
        concatenation.check_nonce(value, METHOD)


def test_its_text_about_a_megabyte_of_nonce_is_short() -> None:
    with pytest.raises(Refusal) as caught:
        concatenation.check_nonce(b"\xff" * 2**20, METHOD)
    assert len(str(caught.value)) < 300


@settings(deadline=None)
@given(st.binary(max_size=210))
def test_it_accepts_exactly_the_nonces_of_visible_ascii_without_the_method(value: bytes) -> None:
    is_right = 1 <= len(value) <= 200 and all(0x21 <= byte <= 0x7E for byte in value) and b"POST/" not in value
    assert allowed(concatenation.check_nonce, value, METHOD) == is_right


# The path


@pytest.mark.parametrize(
    "value", [b"/", BARE, BARE + b"/", BARE + b"/deposits", b"//", b"/a/../b", b"/%2e%2E", b"/a;b=c,d@e:f!$&'()*+~_-."]
)
def test_it_accepts_an_absolute_path(value: bytes) -> None:
    concatenation.check_path(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"webhooks/bcb", id="relative"),
        pytest.param(b"https://receiver.example/webhooks/bcb", id="a whole address"),
        pytest.param(b"/webhooks/bcb?a=b", id="a query string"),
        pytest.param(b"/webhooks/bcb#a", id="a fragment"),
        pytest.param(b"/webhooks/b cb", id="a space"),
        pytest.param(b"/webhooks/bcb\n", id="a trailing newline"),
        pytest.param(b"/webhooks/bcb\x00", id="a NUL"),
        pytest.param(b"/webhooks/bcb{", id="a brace"),
        pytest.param(b"/webhooks/bcb[", id="a bracket"),
        pytest.param(b'/webhooks/bcb"', id="a quotation mark"),
        pytest.param(b"/webhooks\\bcb", id="a backslash"),
        pytest.param("/webhooks/bcb\u00e9".encode(), id="non-ASCII"),
    ],
)
def test_it_refuses_what_is_not_an_absolute_path(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^path_malformed: "):
        concatenation.check_path(value)


def test_its_text_about_a_megabyte_of_path_is_short() -> None:
    with pytest.raises(Refusal) as caught:
        concatenation.check_path(b"/" + b"\xff" * 2**20)
    assert len(str(caught.value)) < 450


# The border between path and body


def test_the_border_is_open_before_an_empty_body() -> None:
    assert concatenation.border_is_open(b"")


@pytest.mark.parametrize("byte", range(256), ids=lambda byte: f"{byte:02x}")
def test_the_border_is_open_exactly_before_a_byte_that_a_path_may_hold(byte: int) -> None:
    assert concatenation.border_is_open(bytes([byte]) + b"{}") == (byte in PATH_BYTES)


@pytest.mark.parametrize("byte", range(256), ids=lambda byte: f"{byte:02x}")
def test_a_path_may_hold_exactly_the_bytes_that_leave_the_border_open(byte: int) -> None:
    assert allowed(concatenation.check_path, b"/" + bytes([byte])) == (byte in PATH_BYTES)


# Other cuts of a genuine text

PATHS = [
    BARE,
    BARE + b"/",
    BARE + b"/deposits",
    BARE + b"/deposits/usd",
    BARE + b"/%7Bdeposits%7D",
    BARE + b"/POST/webhooks/bcb",
    BARE + b"/1733400000POST",
    BARE + b"/" + b"x" * 300,
]
NONCES = [GUID, b"n", b"7", b"POST", b"nPOS", b"POSTPOST", b"/webhooks/bcb", b"1733400000", b"n" * 200]


@pytest.mark.parametrize("path", PATHS)
def test_the_example_can_be_cut_in_one_way_only(path: bytes, example_body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, path, example_body)
    assert surviving_cuts(genuine.text) == [genuine]


@pytest.mark.parametrize("nonce", NONCES, ids=lambda nonce: nonce[:16].decode())
def test_the_example_can_be_cut_in_one_way_only_with_any_nonce(nonce: bytes, example_body: bytes) -> None:
    genuine = Cut(TIMESTAMP, nonce, BARE, example_body)
    assert surviving_cuts(genuine.text) == [genuine]


@pytest.mark.parametrize("nonce", NONCES, ids=lambda nonce: nonce[:16].decode())
@pytest.mark.parametrize("path", [BARE, BARE + b"/deposits"])
@pytest.mark.parametrize("payer_text", [FORGED, b"POST", b"POST/", b"1733400000nPOST/webhooks/bcb", FORGED * 3])
def test_what_a_payer_writes_adds_no_cut(path: bytes, nonce: bytes, payer_text: bytes) -> None:
    genuine = Cut(TIMESTAMP, nonce, path, b'{"transactionDetails":"' + payer_text + b'"}')
    assert surviving_cuts(genuine.text) == [genuine]


@pytest.mark.parametrize("path", [BARE, BARE + b"/deposits"])
@pytest.mark.parametrize(
    "start", [b"<", b'"', b" ", b"\n", b"[", b"?", b"#", b"\\", b"\x00", b"\x1f\x8b", b"\xff", "\u00e9".encode()]
)
def test_a_body_that_is_no_json_object_adds_no_cut(path: bytes, start: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, path, start + b"text " + FORGED + b"/deposits" + FORGED)
    assert surviving_cuts(genuine.text) == [genuine]


def test_an_empty_body_at_the_known_path_can_be_cut_in_one_way_only() -> None:
    genuine = Cut(TIMESTAMP, GUID, BARE, b"")
    assert surviving_cuts(genuine.text) == [genuine]


@pytest.mark.parametrize("path", [path for path in PATHS if path != BARE])
def test_an_empty_body_at_a_path_not_known_beforehand_is_refused_in_every_cut(path: bytes) -> None:
    assert surviving_cuts(Cut(TIMESTAMP, GUID, path, b"").text) == []


@pytest.mark.parametrize(
    "body", [b"0", b"-1.5", b"true", b"null", b"status=Completed", b"P", b"POST", b"POST/", b"-" * 300, b"=" + BARE]
)
def test_a_body_like_a_path_throughout_at_the_known_path_can_be_cut_in_one_way_only(body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, BARE, body)
    assert surviving_cuts(genuine.text) == [genuine]


@pytest.mark.parametrize("body", [b"1\n", b"null ", b"status=[]", b"x{}", FORGED, b"text " + FORGED])
def test_a_body_that_begins_like_a_path_reaches_no_other_path_of_the_source(body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, BARE, body)
    assert [cut for cut in surviving_cuts(genuine.text) if reaches_the_source(cut.path)] == [genuine]


@pytest.mark.parametrize("body", [b"/", b"/deposits", b'/deposits{"topic":"Deposits"}', b"%2Fdeposits{}", b"%"])
def test_a_body_that_begins_like_a_channel_is_refused_at_the_known_path(body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, BARE, body)
    assert genuine not in surviving_cuts(genuine.text)


@pytest.mark.parametrize("body", [b"1\n", b"usd{}", b"/usd{}", FORGED])
def test_a_body_that_begins_like_a_path_is_refused_at_a_channel(body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, BARE + b"/deposits", body)
    assert genuine not in surviving_cuts(genuine.text)


@pytest.mark.parametrize("path", [BARE, BARE + b"/dep"])
@pytest.mark.parametrize("body", [b'/deposits{"topic":"Deposits"}', b"%2Fdeposits{}", b"osits{}", b"1\n", FORGED])
def test_a_source_that_names_its_one_path_leaves_no_other_cut(path: bytes, body: bytes) -> None:
    genuine = Cut(TIMESTAMP, GUID, path, body)
    assert [cut for cut in surviving_cuts(genuine.text) if cut != genuine and cut.path == path] == []


FRAGMENTS = st.sampled_from(
    [METHOD, b"POST/", b"POS", BARE, FORGED, b"/", b"%", b"%2F", b"{", b'"', b" ", b"\n", b"1733400000", b"7", b"\x00"]
)
BODIES = st.lists(FRAGMENTS | st.binary(max_size=8), max_size=8).map(b"".join)
CLOSED_STARTS = st.sampled_from([bytes([byte]) for byte in range(256) if byte not in PATH_BYTES])
NONCE_TEXTS = (
    st.lists(
        st.sampled_from([METHOD, b"POS", b"T", b"/", b"7", b"{", GUID])
        | st.integers(0x21, 0x7E).map(lambda byte: bytes([byte])),
        min_size=1,
        max_size=5,
    )
    .map(b"".join)
    .filter(lambda nonce: b"POST/" not in nonce)
)
CHANNELS = st.lists(
    st.sampled_from([METHOD, b"POST/", BARE, b"%2F", b"/", b"deposits"])
    | st.sampled_from(PATH_BYTES).map(lambda byte: bytes([byte])),
    max_size=8,
).map(lambda parts: b"/" + b"".join(parts))
TIMESTAMPS = st.integers(0, 9_999_999_999).map(lambda seconds: b"%010d" % seconds)


@settings(deadline=None)
@given(timestamp=TIMESTAMPS, nonce=NONCE_TEXTS, channel=st.just(b"") | CHANNELS, start=CLOSED_STARTS, rest=BODIES)
def test_any_callback_whose_body_cannot_belong_to_a_path_can_be_cut_in_one_way_only(
    timestamp: bytes, nonce: bytes, channel: bytes, start: bytes, rest: bytes
) -> None:
    genuine = Cut(timestamp, nonce, BARE + channel, start + rest)
    assert surviving_cuts(genuine.text) == [genuine]


@settings(deadline=None)
@given(timestamp=TIMESTAMPS, nonce=NONCE_TEXTS, body=BODIES.filter(lambda body: not body.startswith((b"/", b"%"))))
def test_any_callback_at_the_known_path_can_be_cut_in_one_way_only_within_the_source(
    timestamp: bytes, nonce: bytes, body: bytes
) -> None:
    genuine = Cut(timestamp, nonce, BARE, body)
    assert [cut for cut in surviving_cuts(genuine.text) if reaches_the_source(cut.path)] == [genuine]


@settings(deadline=None)
@given(nonce=NONCE_TEXTS, channel=st.just(b"") | CHANNELS, body=BODIES)
def test_any_other_cut_keeps_the_timestamp_and_the_nonce(nonce: bytes, channel: bytes, body: bytes) -> None:
    survivors = surviving_cuts(Cut(TIMESTAMP, nonce, BARE + channel, body).text)
    assert all((cut.timestamp, cut.nonce) == (TIMESTAMP, nonce) for cut in survivors)


@settings(deadline=None)
@given(nonce=NONCE_TEXTS, channel=st.just(b"") | CHANNELS, body=BODIES)
def test_any_callback_has_at_most_two_cuts_and_the_second_has_the_longest_path(
    nonce: bytes, channel: bytes, body: bytes
) -> None:
    survivors = surviving_cuts(Cut(TIMESTAMP, nonce, BARE + channel, body).text)
    assert [cut for cut in survivors if cut.path != BARE and concatenation.border_is_open(cut.body)] == []
    assert len(survivors) <= 2


@settings(deadline=None)
@given(text=BODIES)
def test_a_text_without_the_method_cannot_be_cut(text: bytes) -> None:
    assert surviving_cuts(TIMESTAMP + text.replace(METHOD, b"GET")) == []
