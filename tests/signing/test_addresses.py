"""Address lists: who is on them."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.banks import options
from receiver.signing import addresses
from receiver.signing.errors import Refusal

LIST = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("peer", "listed"),
    [
        ("192.0.2.255", "192.0.2.0/24"),
        ("198.51.100.7", "198.51.100.7/32"),
        ("2001:db8::1", "2001:db8::/32"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
    ],
)
def test_an_address_of_the_list_passes(peer: str, listed: str) -> None:
    assert addresses.match(peer, LIST) == listed


@pytest.mark.parametrize(
    "peer",
    [
        "192.0.3.1",
        "198.51.100.8",
        "2001:db9::1",
        "",
        "unknown",
        "192.0.2.1, 192.0.2.2",
        "2001:db8::1%eth0",
        "3221225985",
    ],
)
def test_anything_else_does_not(peer: str) -> None:
    with pytest.raises(Refusal, match="address_not_allowed"):
        addresses.match(peer, LIST)


def test_the_longest_address_is_read_and_what_is_longer_is_none_and_is_not_remembered() -> None:
    assert addresses.address("0000:0000:0000:0000:0000:ffff:255.255.255.255") == IPv4Address("255.255.255.255")
    remembered = addresses._address.cache_info().currsize
    assert addresses.address("1" * 60_000) is None
    assert addresses._address.cache_info().currsize == remembered


@given(st.text())
def test_no_text_makes_anything_but_a_verdict(peer: str) -> None:
    with pytest.raises(Refusal, match="address_not_allowed"):
        addresses.match(peer, ["203.0.113.77/32"])


def test_an_empty_list_lets_nobody_pass() -> None:
    with pytest.raises(Refusal):
        addresses.match("192.0.2.1", [])


def test_whether_all_else_was_proven_is_kept_with_the_refusal() -> None:
    with pytest.raises(Refusal) as refused:
        addresses.match("192.0.3.1", LIST, proven=True)
    assert refused.value.proven


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "300.1.1.1", "example.com", "10.0.0.0/33"])
def test_a_range_with_bits_behind_its_prefix_or_worse_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|network|host bits"):
        addresses.network(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::ffff:c000:201/128", "192.0.2.1/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("::/0", "::/0"),
        ("2001:db8::/120", "2001:db8::/120"),
    ],
)
def test_a_range_of_ipv4_within_ipv6_is_the_one_of_ipv4(text: str, read: str) -> None:
    assert str(addresses.network(text)) == read


@pytest.mark.parametrize("stored", ["::ffff:102:304/128", "::ffff:1.2.3.0/120"])
@pytest.mark.parametrize("peer", ["1.2.3.4", "::ffff:1.2.3.4"])
def test_a_list_that_an_earlier_release_stored_holds_what_it_names(stored: str, peer: str) -> None:
    assert addresses.match(peer, [stored]) == stored


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "::ffff:0:0/96"])
def test_a_list_that_leaves_nobody_out_is_known_as_one(text: str) -> None:
    assert options.takes_any_address(["192.0.2.0/24", text])
    assert not options.takes_any_address(["192.0.2.0/24"])


def test_where_a_list_is_not_asked_for_everybody_passes() -> None:
    addresses.check("anything", [])
    addresses.check("192.0.2.1", LIST)
    with pytest.raises(Refusal, match="address_not_allowed"):
        addresses.check("192.0.3.1", LIST)
