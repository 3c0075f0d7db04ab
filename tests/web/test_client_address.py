"""Who is taken for the sender: never whom a stranger names."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.settings import Network
from receiver.web.callbacks import client_address

TRUSTED: list[Network] = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
ADDRESSES = st.ip_addresses().map(str)
STRANGERS = ADDRESSES.filter(lambda text: not any(ipaddress.ip_address(text) in network for network in TRUSTED))
PROXIES = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
FORGED = st.lists(ADDRESSES | st.text(max_size=20), max_size=5).map(", ".join)


@given(STRANGERS, FORGED)
def test_a_stranger_is_believed_nothing(remote: str, forwarded_for: str) -> None:
    assert client_address(remote, forwarded_for, TRUSTED) == remote


@given(PROXIES, STRANGERS, FORGED)
def test_a_proxy_is_believed_who_it_had_the_request_from_and_no_more(proxy: str, sender: str, forged: str) -> None:
    assert client_address(proxy, f"{forged}, {sender}", TRUSTED) == sender


@given(st.lists(PROXIES, min_size=1, max_size=4), STRANGERS, FORGED)
def test_a_row_of_proxies_is_walked_to_the_first_stranger(proxies: list[str], sender: str, forged: str) -> None:
    header = ", ".join([forged, sender, *proxies[1:]])
    assert client_address(proxies[0], header, TRUSTED) == sender


@given(ADDRESSES, FORGED)
def test_without_trusted_proxies_nobody_is_believed(remote: str, forwarded_for: str) -> None:
    assert client_address(remote, forwarded_for, []) == remote


@given(PROXIES, st.text() | FORGED)
def test_whatever_a_proxy_passes_on_an_address_comes_out(proxy: str, forwarded_for: str) -> None:
    found = client_address(proxy, forwarded_for, TRUSTED)
    assert str(ipaddress.ip_address(found))
    assert len(found) <= 64


@pytest.mark.parametrize("header", ["unknown", "", ",", "1.2.3.4, ", "1.2.3.4:80", "1.2.3.4, _hidden", "1.2.3", "::1]"])
def test_what_is_no_address_stops_the_walk(header: str) -> None:
    assert client_address("10.0.0.1", header, TRUSTED) == "10.0.0.1"


@pytest.mark.parametrize("remote", ["", "unix", "10.0.0.1:80", "10.0.0.1, 10.0.0.2"])
def test_who_has_no_address_is_believed_nothing(remote: str) -> None:
    assert client_address(remote, "1.2.3.4", TRUSTED) == remote


def test_a_proxy_seen_through_an_ipv6_socket_is_the_same_proxy() -> None:
    assert client_address("::ffff:10.0.0.1", "192.0.2.1", TRUSTED) == "192.0.2.1"


def test_a_stranger_seen_through_an_ipv6_socket_is_still_one() -> None:
    assert client_address("::ffff:192.0.2.1", "10.0.0.1", TRUSTED) == "::ffff:192.0.2.1"


def test_an_address_with_an_endless_zone_is_none() -> None:
    assert client_address("10.0.0.1", "fe80::1%" + "z" * 5000, TRUSTED) == "10.0.0.1"
