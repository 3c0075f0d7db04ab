"""What a process holds of bodies: within a quota, of which each client address has a share."""

import io
import ipaddress
from contextlib import ExitStack
from typing import Any

import pytest

from receiver.inbox.decompression import BodyTooLarge
from receiver.inbox.inbox import TryLater
from receiver.model import CUT_SHORT
from receiver.signing.addresses import Network
from receiver.web.problems import Problem
from receiver.web.request_body import FIRST_BYTES, SHARE, UNPROVEN_AT_ONCE, RequestBodies, declared_bytes

MIB = 1024 * 1024
QUOTA = 16 * MIB
BEGINNING = 16 * 1024 + 1
PROXY = "10.0.0.1"
TRUSTED: list[Network | str] = [ipaddress.ip_network("10.0.0.0/8")]


@pytest.fixture
def bodies() -> RequestBodies:
    return RequestBodies(QUOTA, BEGINNING, TRUSTED)


def request(body: bytes, **more: Any) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **more}


@pytest.mark.parametrize("size", [0, 1, FIRST_BYTES, FIRST_BYTES + 1, 2 * MIB + 1])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_read_whole_and_counted_until_it_is_answered(bodies: RequestBodies, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with bodies.holding("192.0.2.1") as held:
        assert held.read(request(body), None if chunked else size, 3 * MIB) == body
        assert held.size == size
    assert held.size == 0


@pytest.mark.parametrize("size", [1001, 5 * MIB])
def test_more_than_the_limit_is_refused(bodies: RequestBodies, size: int) -> None:
    with bodies.holding("192.0.2.1") as held, pytest.raises(BodyTooLarge):
        held.read(request(bytes(size)), None, 1000)
    with pytest.raises(BodyTooLarge):
        declared_bytes({"CONTENT_LENGTH": str(size)}, 1000)


class Staying(io.BytesIO):
    """What a sender who stays has sent, as Flask's own server hands it on: to read beyond it is to wait for more."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert 0 <= size <= len(self.getvalue()) - self.tell(), "it waits"
        return super().read(size)


def test_no_more_is_read_than_a_body_has(bodies: RequestBodies) -> None:
    with bodies.holding("192.0.2.1") as held:
        assert held.read({"wsgi.input": Staying(b"body")}, 4, MIB) == b"body"
        assert held.read_beginning({"wsgi.input": Staying(b"body")}, 4, BEGINNING) == b"body"
        environ = {"wsgi.input": Staying(b"")}
        assert held.read(environ, declared_bytes(environ, MIB), MIB) == b""


@pytest.mark.parametrize("coding", ["chunked", "Chunked", " chunked"])
def test_how_long_a_body_is_that_comes_in_chunks_shows_at_its_end(bodies: RequestBodies, coding: str) -> None:
    environ = {"wsgi.input": io.BytesIO(b"body"), "HTTP_TRANSFER_ENCODING": coding}
    with bodies.holding("192.0.2.1") as held:
        assert held.read(environ, declared_bytes(environ, MIB), MIB) == b"body"


def test_what_is_beyond_the_quota_is_to_come_again_and_does_once_there_is_room(bodies: RequestBodies) -> None:
    with ExitStack() as stack:
        for number in range(QUOTA // MIB):
            stack.enter_context(bodies.holding(f"192.0.2.{number}")).read(request(bytes(MIB)), MIB, MIB)
        with pytest.raises(TryLater), bodies.holding("192.0.2.99") as held:
            held.read(request(bytes(MIB)), MIB, MIB)
    with bodies.holding("192.0.2.99") as held:
        assert len(held.read(request(bytes(MIB)), MIB, MIB)) == MIB


def hold(bodies: RequestBodies, peer: str, *, listed: bool = False) -> int:
    """How many bodies of 1 MiB are held of one address before one is refused."""
    with ExitStack() as stack:
        for number in range(QUOTA // MIB + 1):
            held = stack.enter_context(bodies.holding(peer))
            held.has_share = not listed
            try:
                held.read(request(bytes(MIB)), MIB, MIB)
            except TryLater:
                return number
    raise AssertionError("more than the quota")


def test_one_address_holds_no_more_than_its_share(bodies: RequestBodies) -> None:
    assert hold(bodies, "192.0.2.1") == QUOTA // SHARE // MIB + 1


def test_a_trusted_proxy_stands_for_many_and_has_no_share(bodies: RequestBodies) -> None:
    assert hold(bodies, PROXY) == QUOTA // MIB


def test_whoever_a_source_lists_has_no_share(bodies: RequestBodies) -> None:
    assert hold(bodies, "192.0.2.1", listed=True) == QUOTA // MIB


def test_one_body_may_be_larger_than_the_share_and_others_come_beside_it(bodies: RequestBodies) -> None:
    with bodies.holding("192.0.2.1") as held, bodies.holding("192.0.2.1") as other:
        assert len(held.read(request(bytes(9 * MIB)), 9 * MIB, 9 * MIB)) == 9 * MIB
        assert len(other.read(request(bytes(MIB)), MIB, 9 * MIB)) == MIB


def test_small_bodies_come_beside_a_share_that_is_spent(bodies: RequestBodies) -> None:
    with ExitStack() as stack:
        for _ in range(QUOTA // SHARE // MIB + 1):
            stack.enter_context(bodies.holding("192.0.2.1")).read(request(bytes(MIB)), MIB, MIB)
        with pytest.raises(TryLater):
            stack.enter_context(bodies.holding("192.0.2.1")).read(request(bytes(MIB)), MIB, MIB)
        small = stack.enter_context(bodies.holding("192.0.2.1"))
        assert len(small.read(request(bytes(FIRST_BYTES)), FIRST_BYTES, MIB)) == FIRST_BYTES


def test_the_addresses_of_a_network_of_64_bits_share(bodies: RequestBodies) -> None:
    with bodies.holding("2001:db8::1") as held:
        held.read(request(bytes(3 * MIB)), 3 * MIB, 3 * MIB)
        with pytest.raises(TryLater), bodies.holding("2001:db8::2") as other:
            other.read(request(bytes(3 * MIB)), 3 * MIB, 3 * MIB)


class Slow(io.BytesIO):
    """A body of which the second piece does not come."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise TimeoutError
        return super().read(size)


def test_who_says_that_much_comes_and_sends_little_holds_little(bodies: RequestBodies) -> None:
    with bodies.holding("192.0.2.1") as held:
        with pytest.raises(Problem) as raised:
            held.read({"wsgi.input": Slow(bytes(9 * MIB))}, 9 * MIB, 9 * MIB)
        assert raised.value.status == 400
        assert held.size < MIB


def test_a_body_that_ends_early_is_the_senders_fault_unless_we_ended_it(bodies: RequestBodies) -> None:
    with bodies.holding("192.0.2.1") as held:
        with pytest.raises(Problem):
            held.read(request(b"half"), 8, MIB)
        with pytest.raises(TryLater):
            held.read(request(b"half", **{CUT_SHORT: lambda: True}), 8, MIB)


def test_what_was_refused_by_its_head_is_read_in_a_quota_of_its_own(bodies: RequestBodies) -> None:
    most = BEGINNING
    with ExitStack() as stack:
        for number in range(UNPROVEN_AT_ONCE):
            held = stack.enter_context(bodies.holding_unproven(f"192.0.2.{number}"))
            assert len(held.read_beginning(request(bytes(MIB)), MIB, most)) == most
        with pytest.raises(TryLater):
            stack.enter_context(bodies.holding_unproven("198.51.100.1")).read_beginning(request(bytes(MIB)), MIB, most)
        with bodies.holding("198.51.100.1") as genuine:
            assert genuine.read(request(bytes(MIB)), MIB, MIB)


def test_one_address_reads_few_beginnings_of_what_was_refused_at_a_time_and_others_do_beside_it(
    bodies: RequestBodies,
) -> None:
    """Its share counts from the first byte on: to announce a body takes as much of the quota as to send one."""
    with ExitStack() as stack:
        for _ in range(UNPROVEN_AT_ONCE // SHARE + 1):
            held = stack.enter_context(bodies.holding_unproven("192.0.2.1"))
            assert len(held.read_beginning(request(bytes(MIB)), MIB, BEGINNING)) == BEGINNING
        one_more = stack.enter_context(bodies.holding_unproven("192.0.2.1"))
        with pytest.raises(TryLater):
            one_more.read_beginning(request(bytes(MIB)), MIB, BEGINNING)
        other = stack.enter_context(bodies.holding_unproven("198.51.100.1"))
        assert len(other.read_beginning(request(bytes(MIB)), MIB, BEGINNING)) == BEGINNING


def test_the_beginning_of_what_was_refused_ends_early_where_its_sender_has_gone_or_we_ended_it(
    bodies: RequestBodies,
) -> None:
    with bodies.holding_unproven("192.0.2.1") as held:
        with pytest.raises(Problem):
            held.read_beginning(request(b"half"), MIB, BEGINNING)
        with pytest.raises(TryLater):
            held.read_beginning(request(b"half", **{CUT_SHORT: lambda: True}), MIB, BEGINNING)
