"""Who is taken for the sender: never whom a stranger names."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.signing.addresses import UNIX, UNKNOWN, Network, party, sender

NETWORKS: list[Network] = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
TRUSTED: list[Network | str] = [*NETWORKS]
ADDRESSES = st.ip_addresses().map(str)
STRANGERS = ADDRESSES.filter(lambda text: not any(ipaddress.ip_address(text) in network for network in NETWORKS))
PROXIES = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
FORGED = st.lists(ADDRESSES | st.text(max_size=20), max_size=5).map(", ".join)


@given(STRANGERS, FORGED)
def test_a_stranger_is_believed_nothing(remote: str, forwarded_for: str) -> None:
    assert sender(remote, forwarded_for, TRUSTED) == remote


@given(PROXIES, STRANGERS, FORGED)
def test_a_proxy_is_believed_who_it_had_the_request_from_and_no_more(proxy: str, stranger: str, forged: str) -> None:
    assert sender(proxy, f"{forged}, {stranger}", TRUSTED) == stranger


@given(st.lists(PROXIES, min_size=1, max_size=4), STRANGERS, FORGED)
def test_a_row_of_proxies_is_walked_to_the_first_stranger(proxies: list[str], stranger: str, forged: str) -> None:
    header = ", ".join([forged, stranger, *proxies[1:]])
    assert sender(proxies[0], header, TRUSTED) == stranger


@given(ADDRESSES, FORGED)
def test_without_trusted_proxies_nobody_is_believed(remote: str, forwarded_for: str) -> None:
    assert sender(remote, forwarded_for, []) == remote


@given(PROXIES, st.text() | FORGED)
def test_whatever_a_proxy_passes_on_an_address_comes_out_or_none_that_is_known(proxy: str, forwarded_for: str) -> None:
    found = sender(proxy, forwarded_for, TRUSTED)
    assert found == UNKNOWN or str(ipaddress.ip_address(found))
    assert len(found) <= 64


@pytest.mark.parametrize(
    "hop",
    [
        *("unknown", "1.2.3.4, _hidden", "1.2.3", "::1]", "1.2.3.4:", "[::1"),
        *("1.2.3.4:123456", "1.2.3.4:99999", "1.2.3.4:65536", "[2001:db8::1]:65536"),
    ],
)
def test_a_sender_who_is_named_unreadably_is_nobody_and_not_the_proxy(hop: str) -> None:
    assert sender("10.0.0.1", hop, TRUSTED) == UNKNOWN
    assert sender("10.0.0.1", f"{hop}, 10.0.0.2", TRUSTED) == UNKNOWN


@pytest.mark.parametrize("header", ["", ",", " , "])
def test_a_header_that_names_nobody_leaves_the_proxy(header: str) -> None:
    assert sender("10.0.0.1", header, TRUSTED) == "10.0.0.1"


@pytest.mark.parametrize(
    ("hop", "found"),
    [
        ("52.31.71.221:51008", "52.31.71.221"),
        ("[::ffff:52.31.71.221]:443", "::ffff:52.31.71.221"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.7:80", "10.0.0.7"),
        ("1.2.3.4:65535", "1.2.3.4"),
        ("1.2.3.4, ", "1.2.3.4"),
        ("52.31.71.221:51008, 10.0.0.7:80", "52.31.71.221"),
        ("203.0.113.9, 52.31.71.221:51008", "52.31.71.221"),
    ],
)
def test_a_port_behind_an_address_is_left_out(hop: str, found: str) -> None:
    assert sender("10.0.0.1", hop, TRUSTED) == found


def test_whoever_comes_over_a_unix_socket_is_believed_where_that_is_set() -> None:
    assert sender("", "192.0.2.1", [UNIX]) == "192.0.2.1"
    assert sender("", "192.0.2.1, 10.0.0.1", [*TRUSTED, UNIX]) == "192.0.2.1"
    assert sender("10.0.0.1", "192.0.2.1", [UNIX]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_network_of_64_bits_has_one_share(address: str, counted_as: str) -> None:
    assert party(address) == counted_as


@pytest.mark.parametrize("remote", ["", "unix", "10.0.0.1:80", "10.0.0.1, 10.0.0.2"])
def test_who_has_no_address_is_believed_nothing(remote: str) -> None:
    assert sender(remote, "1.2.3.4", TRUSTED) == remote


def test_a_proxy_seen_through_an_ipv6_socket_is_the_same_proxy() -> None:
    assert sender("::ffff:10.0.0.1", "192.0.2.1", TRUSTED) == "192.0.2.1"


def test_a_stranger_seen_through_an_ipv6_socket_is_still_one() -> None:
    assert sender("::ffff:192.0.2.1", "10.0.0.1", TRUSTED) == "::ffff:192.0.2.1"


def test_an_address_with_an_endless_zone_is_none() -> None:
    assert sender("10.0.0.1", "fe80::1%" + "z" * 5000, TRUSTED) == UNKNOWN
