import pytest

from receiver.signing import addresses
from receiver.signing.errors import Refusal

ALLOWED = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.9"])
def test_an_address_in_a_network_is_taken(address: str) -> None:
    addresses.check(address, ALLOWED)


@pytest.mark.parametrize("address", ["192.0.3.1", "198.51.100.8", "2001:db9::1", "::ffff:10.0.0.1", "", "here"])
def test_any_other_address_is_refused(address: str) -> None:
    with pytest.raises(Refusal, match=r"^address_not_allowed: "):
        addresses.check(address, ALLOWED)


def test_without_a_list_every_address_is_taken() -> None:
    addresses.check("anything", [])


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "example.com", "192.0.2.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        addresses.network(text)
