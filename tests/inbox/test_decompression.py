"""Undoing content codings: the bytes as they were, or a refusal, and never more than the limit."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.inbox.decompression import BodyTooLarge, CodingBroken, CodingNotSupported, decode

LIMIT = 1000


def bare(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@given(st.binary(max_size=LIMIT), st.lists(st.sampled_from(sorted(PACKERS)), max_size=3))
def test_what_was_packed_comes_back(body: bytes, codings: list[str]) -> None:
    packed = body
    for coding in codings:
        packed = PACKERS[coding](packed)
    assert decode(packed, ", ".join(codings), 4 * LIMIT) == body


@given(st.binary(max_size=LIMIT))
def test_bare_deflate_comes_back(body: bytes) -> None:
    assert decode(bare(body), "deflate", LIMIT * 2) == body


HEADERS = st.lists(
    st.sampled_from(["gzip", "GZIP", " gzip ", "deflate", "identity", "br", "", "x-gzip", "\xff"]), max_size=5
).map(",".join) | st.text(max_size=10)
PACKED = st.binary(max_size=2 * LIMIT) | st.builds(
    lambda packer, body, end, junk: packer(body)[:end] + junk,
    st.sampled_from([gzip.compress, zlib.compress, bare]),
    st.binary() | st.integers(0, 10**6).map(bytes),
    st.sampled_from([None, -1, -4, -8, 5]),
    st.sampled_from([b"", b"\0", b"junk"]),
)


@given(PACKED, HEADERS)
@example(gzip.compress(bytes(10**8)), "gzip")
@example(b"", "gzip")
@example(b"\x1f\x8b", "gzip")
@example(b"\x78\x9c", "deflate")
def test_whatever_comes_is_within_the_limit_or_refused(body: bytes, header: str) -> None:
    with suppress(BodyTooLarge, CodingBroken, CodingNotSupported):
        assert len(decode(body, header, LIMIT)) <= LIMIT


@pytest.mark.parametrize("packer", [gzip.compress, zlib.compress, bare, bytes], ids=["gzip", "deflate", "bare", "none"])
@pytest.mark.parametrize(("size", "fits"), [(LIMIT - 1, True), (LIMIT, True), (LIMIT + 1, False), (10**6, False)])
def test_the_limit_holds_to_the_byte(packer: Callable[[bytes], bytes], size: int, fits: bool) -> None:
    coding = {gzip.compress: "gzip", bytes: ""}.get(packer, "deflate")
    if fits:
        assert decode(packer(bytes(size)), coding, LIMIT) == bytes(size)
        return
    with pytest.raises(BodyTooLarge):
        decode(packer(bytes(size)), coding, LIMIT)


def test_the_limit_holds_for_what_comes_between_two_codings() -> None:
    inner = gzip.compress(bytes(10**7))
    with pytest.raises(BodyTooLarge):
        decode(gzip.compress(inner), "gzip, gzip", LIMIT)


def test_the_limit_holds_for_the_body_as_sent() -> None:
    with pytest.raises(BodyTooLarge):
        decode(b"x" * (LIMIT + 1), "br", LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "spoil", [lambda p: p[:-1], lambda p: p[:-4], lambda p: p + b"\0", lambda p: p + p, lambda _: b""]
)
def test_what_ends_too_early_or_goes_on_is_broken(coding: str, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CodingBroken):
        decode(spoil(PACKERS[coding](b'{"a":1}' * 20)), coding, LIMIT)


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "gzip, br", "gzip,gzip,gzip,gzip", "gzip;q=1", "chunked", "é"]
)
def test_another_coding_is_not_supported(header: str) -> None:
    with pytest.raises(CodingNotSupported):
        decode(b"{}", header, LIMIT)


@pytest.mark.parametrize("header", ["", " ", ",", "identity", "Identity, identity", ", ,"])
def test_no_coding_leaves_the_body_alone(header: str) -> None:
    assert decode(b"{}", header, LIMIT) == b"{}"


def test_empty_members_of_the_list_do_not_count() -> None:
    assert decode(gzip.compress(b"{}"), ",,,gzip,,,identity, identity, identity", LIMIT) == b"{}"
