"""Undoing content codings: the bytes as they were, or a refusal, and never more than the limit."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.inbox.decompression import (
    MEMBERS_MAX,
    BodyTooLarge,
    CodingBroken,
    CodingNotSupported,
    coding_of,
    decode,
    unpacked_bytes_max,
)

LIMIT = 1000


def bare(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


BOTH = ("gzip", "deflate")


def undone(body: bytes, header: str, limit: int) -> bytes:
    return decode(body, coding_of(header, BOTH), limit)


@given(st.binary(max_size=LIMIT), st.sampled_from(sorted(PACKERS)))
def test_what_was_packed_comes_back(body: bytes, coding: str) -> None:
    assert undone(PACKERS[coding](body), coding, 4 * LIMIT) == body


@given(st.binary(max_size=LIMIT))
def test_bare_deflate_comes_back(body: bytes) -> None:
    assert decode(bare(body), "deflate", LIMIT * 2) == body


@given(st.binary(max_size=200), st.integers(1, 1000), st.integers(0, 9))
def test_it_comes_back_whatever_the_pieces_are(body: bytes, repeats: int, level: int) -> None:
    whole = body * repeats
    for packed, coding in ((gzip.compress(whole, level), "gzip"), (zlib.compress(whole, level, wbits=-15), "deflate")):
        assert decode(packed, coding, 1_000_000) == whole


@given(st.lists(st.binary(max_size=LIMIT), min_size=1, max_size=5))
def test_a_gzip_stream_may_have_several_members(parts: list[bytes]) -> None:
    assert decode(b"".join(gzip.compress(part) for part in parts), "gzip", 10 * LIMIT) == b"".join(parts)


def test_members_without_end_are_refused() -> None:
    with pytest.raises(CodingBroken):
        decode(gzip.compress(b"") * (MEMBERS_MAX + 1), "gzip", 1_000_000)


HEADERS = st.lists(
    st.sampled_from(["gzip", "GZIP", " gzip ", "deflate", "identity", "br", "", "x-gzip", "\xff"]), max_size=5
).map(",".join)


@given(st.binary(max_size=4 * LIMIT), HEADERS)
@example(gzip.compress(bytes(10**8)), "gzip")
@example(b"", "gzip")
@example(b"\x1f\x8b", "gzip")
@example(b"\x78\x9c", "deflate")
def test_whatever_comes_is_within_the_limit_or_refused(body: bytes, header: str) -> None:
    with suppress(BodyTooLarge, CodingBroken, CodingNotSupported):
        assert len(undone(body, header, LIMIT)) <= LIMIT


@pytest.mark.parametrize("packer", [gzip.compress, zlib.compress, bare, bytes], ids=["gzip", "deflate", "bare", "none"])
@pytest.mark.parametrize(("size", "fits"), [(LIMIT - 1, True), (LIMIT, True), (LIMIT + 1, False), (10**6, False)])
def test_the_limit_holds_to_the_byte(packer: Callable[[bytes], bytes], size: int, fits: bool) -> None:
    coding = {gzip.compress: "gzip", bytes: None}.get(packer, "deflate")
    if fits:
        assert decode(packer(bytes(size)), coding, LIMIT) == bytes(size)
        return
    with pytest.raises(BodyTooLarge):
        decode(packer(bytes(size)), coding, LIMIT)


def test_the_limit_holds_for_the_body_as_sent() -> None:
    with pytest.raises(BodyTooLarge):
        decode(b"x" * (LIMIT + 1), "gzip", LIMIT)


def test_what_may_come_out_is_known_before() -> None:
    packed = zlib.compress(bytes(10**7))
    assert 10**7 <= unpacked_bytes_max(len(packed), 10**8) <= 10**8
    assert unpacked_bytes_max(len(packed), LIMIT) == LIMIT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "spoil", [lambda p: p[:-1], lambda p: p[:-4], lambda p: p + b"\0", lambda p: p + b"junk", lambda _: b""]
)
def test_what_ends_too_early_or_goes_on_is_broken(coding: str, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CodingBroken):
        decode(spoil(PACKERS[coding](b'{"a":1}' * 20)), coding, LIMIT)


def test_deflate_has_no_members() -> None:
    with pytest.raises(CodingBroken):
        decode(zlib.compress(b"{}") * 2, "deflate", LIMIT)


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "x-compress", "gzip, br", "gzip, gzip", "gzip,deflate", "BR"]
)
def test_another_coding_or_more_than_one_is_not_supported(header: str) -> None:
    with pytest.raises(CodingNotSupported) as raised:
        coding_of(header, BOTH)
    assert raised.value.accepted == BOTH


@pytest.mark.parametrize("header", ["gzip", "deflate", "x-gzip", "br", "gzip, gzip"])
def test_none_is_supported_where_the_bank_documents_none(header: str) -> None:
    with pytest.raises(CodingNotSupported):
        coding_of(header, ())


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "identity",
        "Identity, identity",
        "UTF-8",
        "none",
        "application/json",
        "gzip;q=1",
        "chunked",
        "\xff",
    ],
)
def test_what_is_no_coding_leaves_the_body_alone(header: str) -> None:
    assert coding_of(header, BOTH) is None
    assert coding_of(header, ()) is None


@pytest.mark.parametrize("header", [",,,gzip,,,identity", "UTF-8, gzip", "X-GZIP"])
def test_what_is_no_coding_does_not_count_beside_one(header: str) -> None:
    assert coding_of(header, BOTH) == "gzip"
