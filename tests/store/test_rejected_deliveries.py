"""Rejected deliveries: a flood fills no disk and hides nothing but itself."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import add_source
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func, select
from store.made import delivery, event, record

from receiver.runtime import Runtime
from receiver.signing import addresses
from receiver.store import deliveries
from receiver.store.records import NewDelivery
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, table_of

MOST = 50
BODY_BYTES = 100

_deliveries = table_of(Delivery)


def reject(
    parts: Runtime, arrived: NewDelivery, *, proven: bool = False, most: int = MOST, detail: str = "no match"
) -> None:
    with parts.database.write() as connection:
        reject_within(connection, arrived, proven=proven, most=most, detail=detail)


def reject_within(
    connection: Any,
    arrived: NewDelivery,
    *,
    proven: bool = False,
    likely: bool = False,
    most: int = MOST,
    detail: str = "",
) -> None:
    deliveries.store_rejected(
        connection,
        arrived,
        reason="signature_mismatch",
        detail=detail,
        proven=proven,
        likely=likely,
        most=most,
        body_bytes=BODY_BYTES,
    )


def flood(parts: Runtime, source: SourceRecord, peer: str | list[str], number: int, **how: Any) -> None:
    """So many deliveries, from one address after the other."""
    senders = [peer] if isinstance(peer, str) else peer
    with parts.database.write() as connection:
        for count in range(number):
            reject_within(connection, delivery(parts, source, peer=senders[count % len(senders)]), **how)


def stored(parts: Runtime) -> list[Any]:
    with parts.database.read() as connection:
        return list(connection.execute(select(_deliveries).order_by(_deliveries.c.id)))


def peers(parts: Runtime, *, proven: bool = False) -> Counter[str]:
    return Counter(row.peer for row in stored(parts) if row.verdict == "rejected" and row.proven is proven)


def test_a_flood_leaves_other_addresses_and_what_was_signed_rightly(parts: Runtime, source: SourceRecord) -> None:
    flood(parts, source, "198.51.100.7", 5)
    flood(parts, source, "203.0.113.9", 5, proven=True)
    flood(parts, source, "192.0.2.66", 600)
    assert peers(parts) == Counter({"198.51.100.7": 5, "192.0.2.66": MOST - 5})
    assert peers(parts, proven=True) == Counter({"203.0.113.9": 5})


def test_what_was_signed_rightly_is_bounded_too(parts: Runtime, source: SourceRecord) -> None:
    flood(parts, source, "203.0.113.9", MOST + 20, proven=True)
    assert peers(parts, proven=True).total() == MOST


def test_the_oldest_of_the_loudest_address_goes_first(parts: Runtime, source: SourceRecord) -> None:
    ids = []
    for _ in range(MOST + 3):
        arrived = delivery(parts, source)
        ids.append(arrived.id)
        reject(parts, arrived)
    # Ids of one millisecond have no order among themselves.
    assert len(set(ids) & {row.id for row in stored(parts)}) == MOST
    assert [row.id for row in stored(parts)] == sorted(row.id for row in stored(parts))


def test_each_source_has_its_own_share(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other")
    flood(parts, other, "192.0.2.1", 5)
    flood(parts, source, "192.0.2.1", MOST + 20)
    assert Counter(row.source_id for row in stored(parts)) == Counter({source.id: MOST, other.id: 5})


def test_writers_at_once_stay_within_the_bound(parts: Runtime, source: SourceRecord) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: reject(parts, delivery(parts, source)), range(300)))
    reject(parts, delivery(parts, source))
    assert peers(parts).total() <= MOST


def test_a_lowered_bound_is_caught_up_with(parts: Runtime, source: SourceRecord) -> None:
    flood(parts, source, "192.0.2.1", MOST)
    for _ in range(MOST):
        reject(parts, delivery(parts, source), most=10)
    assert peers(parts).total() == 10


def test_what_was_accepted_is_never_dropped(parts: Runtime, source: SourceRecord) -> None:
    genuine = delivery(parts, source)
    record(parts, genuine, event(parts, "FT1"))
    again = delivery(parts, source)
    record(parts, again, event(parts, "FT1"))
    for proven in (False, True):
        flood(parts, source, genuine.peer, MOST + 20, proven=proven)
    kept = {row.id: row.verdict for row in stored(parts)}
    assert (kept[genuine.id], kept[again.id]) == ("accepted", "duplicate")


def test_the_body_is_cut_and_its_real_size_and_digest_are_kept(parts: Runtime, source: SourceRecord) -> None:
    body = b"x" * 5000
    reject(parts, delivery(parts, source, body=body))
    (row,) = stored(parts)
    assert (bytes(row.body), row.body_bytes) == (b"x" * BODY_BYTES, 5000)
    assert row.body_sha256 == hashlib.sha256(body).hexdigest()


def test_headers_path_and_detail_are_cut(parts: Runtime, source: SourceRecord) -> None:
    headers = {f"{number}{'h' * 9000}": "v" * 9000 for number in range(100)}
    reject(parts, delivery(parts, source, headers=headers, path="/" * 9000, channel="c" * 9000), detail="d" * 9000)
    (row,) = stored(parts)
    assert (len(row.headers), row.headers["…"]) == (41, "60 more")
    assert len("".join([*row.headers, *row.headers.values()])) <= 16 * 1024
    assert (row.path, row.channel, len(row.detail)) == ("/" * 4096 + "…", "c" * 4096 + "…", 300)


def test_a_signature_is_stored_whole_beside_headers_that_are_too_long(parts: Runtime, source: SourceRecord) -> None:
    signature = {"bcb-signature": "A" * 2048, "webhook-signature": "B" * 4096}
    reject(parts, delivery(parts, source, headers=signature))
    crowded = {f"x-{number}": "v" * 8000 for number in range(10)} | {"bcb-signature": "A" * 684}
    reject(parts, delivery(parts, source, headers=crowded))
    # Ids of one millisecond have no order among themselves.
    whole, cut = sorted((row.headers for row in stored(parts)), key=len)
    assert whole == signature
    assert (cut["bcb-signature"], cut["x-0"]) == ("A" * 684, "v" * 1024 + "…")


def test_what_was_cut_is_known_as_the_same_when_it_comes_once_more(parts: Runtime, source: SourceRecord) -> None:
    headers = {f"x-{number}": "v" * 8000 for number in range(60)}
    arrived = delivery(parts, source, headers=headers, path="/" * 5000)
    reject(parts, arrived)
    with parts.database.read() as connection:
        assert deliveries.is_rejected_for(connection, arrived, "signature_mismatch")
        other = arrived._replace(headers={**headers, "x-1": "other"})
        assert not deliveries.is_rejected_for(connection, other, "signature_mismatch")


def test_a_rejected_delivery_does_not_use_up_the_nonce_that_it_shows(parts: Runtime, source: SourceRecord) -> None:
    reject(parts, delivery(parts, source, nonce="n"))
    reject(parts, delivery(parts, source, nonce="n"))
    assert record(parts, delivery(parts, source, nonce="n"), event(parts, "FT1")).is_new


OWN = "198.51.100.7"
ONE_NETWORK = [f"192.0.2.{number}" for number in range(1, 61)]
MANY_NETWORKS = [f"203.0.{number}.66" for number in range(1, 61)]
ONE_V6_NETWORK = [f"2001:db8:0:1:{number:x}::1" for number in range(1, 61)]
MANY_V6_NETWORKS = [f"2001:db8:0:{number:x}::1" for number in range(1, 61)]
FLOODS = pytest.mark.parametrize(
    "senders",
    [MANY_NETWORKS, [*ONE_NETWORK, *MANY_V6_NETWORKS]],
    ids=["many /24", "a /24 and many /64"],
)


@FLOODS
def test_a_flood_from_sixty_addresses_leaves_what_looks_like_the_bank_s_own(
    parts: Runtime, source: SourceRecord, senders: list[str]
) -> None:
    flood(parts, source, OWN, 20, likely=True)
    flood(parts, source, senders, 240)
    assert peers(parts)[OWN] == 20
    assert peers(parts).total() == 20 + MOST


@FLOODS
def test_a_flood_that_looks_like_the_bank_s_own_leaves_what_came_from_its_networks(
    parts: Runtime, source: SourceRecord, senders: list[str]
) -> None:
    record(parts, delivery(parts, source, peer="198.51.100.200"), event(parts, "FT1"))
    flood(parts, source, OWN, 20, likely=True)
    flood(parts, source, senders, 240, likely=True)
    assert peers(parts)[OWN] == 20
    assert peers(parts).total() == MOST


@pytest.mark.parametrize("senders", [ONE_NETWORK, ONE_V6_NETWORK], ids=["a /24", "a /64"])
def test_a_flood_from_one_network_leaves_every_other(parts: Runtime, source: SourceRecord, senders: list[str]) -> None:
    flood(parts, source, OWN, 20)
    flood(parts, source, senders, 240)
    assert peers(parts)[OWN] == 20


def test_no_network_loses_more_than_it_has_above_the_others(parts: Runtime, source: SourceRecord) -> None:
    flood(parts, source, MANY_NETWORKS[:5], MOST)
    flood(parts, source, OWN, 8)
    assert peers(parts)[OWN] == 8
    assert min(peers(parts).values()) == 8


def test_the_bank_s_own_networks_lose_their_oldest_once_nobody_else_is_left(
    parts: Runtime, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source, peer=OWN), event(parts, "FT1"))
    flood(parts, source, ONE_NETWORK, 20)
    flood(parts, source, OWN, MOST + 5)
    assert peers(parts) == Counter({OWN: MOST})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_large_share_is_counted_now_and_then_and_stays_near_its_bound(parts: Runtime, source: SourceRecord) -> None:
    """Else each of a flood would cost more, the more are kept."""
    counted = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append("GROUP BY" in statement)

    sqlalchemy_event.listen(parts.database.engine, "before_cursor_execute", note)
    try:
        flood(parts, source, MANY_NETWORKS, 2000, most=1000)
    finally:
        sqlalchemy_event.remove(parts.database.engine, "before_cursor_execute", note)
    assert 50 < sum(counted) < 450
    assert 1000 <= peers(parts).total() < 1200


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
        ("x" * 100, "x" * 60),
    ],
)
def test_the_network_that_a_sender_is_counted_by(peer: str, network: str) -> None:
    assert addresses.network_of(peer) == network


def test_the_count_goes_by_an_index(parts: Runtime, source: SourceRecord) -> None:
    query = select(_deliveries.c.network, func.count()).where(
        _deliveries.c.source_id == source.id,
        _deliveries.c.verdict == "rejected",
        _deliveries.c.proven.is_(False),
        _deliveries.c.likely.is_(False),
    )
    query = query.group_by(_deliveries.c.network)
    compiled = query.compile(parts.database.engine, compile_kwargs={"literal_binds": True})
    with parts.database.read() as connection:
        if parts.database.is_sqlite:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all())
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = str(connection.exec_driver_sql(f"EXPLAIN {compiled}").all())
    assert "ix_deliveries_rejected_network" in plan
