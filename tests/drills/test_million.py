"""A million events cost a reader what a thousand cost."""

import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import quantiles
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from store.plenty import BUSY_PAYMENT, START, extend, fill

from receiver.feed.cursors import Cursors
from receiver.runtime import Runtime
from receiver.store.records import lowest_id

FEW, MANY = 1_000, 1_000_000
TIMES = 60
TRIES = 8
"""Another load on the machine may fall into one measurement, but not into all."""

FULL, ONE = 50, 1
"""Entries on a page: of rare values, so many that a thousand events hold a whole page too."""

Query = dict[str, str | int | list[str]]


def asked(parts: Runtime, number: int) -> Iterator[str]:
    """Every list and filter of the API, at its beginning, middle and end."""
    feed, events = Cursors(parts.settings.keys, "feed"), Cursors(parts.settings.keys, "events")
    payments = Cursors(parts.settings.keys, "payments")
    middle = START + timedelta(seconds=number / 2)
    event_id = f"{lowest_id('evt', middle)}{'0' * 16}"
    span: Query = {"received_after": middle.isoformat(), "received_before": (middle + timedelta(minutes=5)).isoformat()}

    def each(path: str, *queries: Query) -> Iterator[str]:
        for query in queries:
            yield f"/api/v1/{path}?{urlencode({'limit': FULL} | query, doseq=True)}"

    often: Query = {"source": "often"}
    for after in (0, number // 2, number - FULL, number):
        yield from each("feed", {"after": feed.make(after)})
    behind: Query = {"after": feed.make(number // 2)}
    yield from each(
        "feed",
        often | behind,
        {"type": "bcb.deposit"} | behind,
        {"type": "bcb.deposit"} | often | behind,
        {"source": ["often", "seldom"]} | behind,
        {"source": "rare", "limit": ONE},
        {"type": "bcb.unrecognised", "limit": ONE},
        {"type": "bcb.unrecognised", "limit": ONE, **often},
        {"source": "silent"},
        {"type": "bcb.job.never"},
        {"type": "bcb.deposit", "source": "silent"},
    )
    yield from each(
        "events",
        {},
        {"cursor": events.make(event_id)},
        often,
        {"source": ["often", "seldom"]},
        {"source": "rare", "limit": ONE},
        {"source": "silent"},
        {"type": "bcb.deposit"},
        {"type": "bcb.unrecognised", "limit": ONE},
        {"type": "bcb.job.never"},
        {"type": "bcb.deposit"} | often,
        {"payment_id": "FT77"},
        {"payment_id": "FT77", "type": "bcb.deposit"} | often,
        {"payment_id": BUSY_PAYMENT, "limit": ONE},
        {"payment_id": "FT-none"},
        {"event_id": event_id},
        {"event_id": event_id, "type": "bcb.deposit"} | often,
        span,
        span | often,
        {"received_after": middle.isoformat()},
        {"received_before": middle.isoformat()},
    )
    yield from each(
        "payments",
        {},
        {"cursor": payments.make(number // 2)},
        often,
        {"source": ["often", "seldom"]},
        {"source": "rare", "limit": ONE},
        {"status": "completed"},
        {"status": "rejected", "limit": ONE},
        {"status": "returned"},
        {"agreement": "confirmed"},
        {"agreement": "contradicted", "limit": ONE},
        {"agreement": "unknown_to_bank"},
        {"status": "completed", "agreement": "confirmed"} | often,
        {"status": "completed"} | often,
        {"agreement": "confirmed"} | often,
    )
    yield f"/api/v1/events/{event_id}"
    yield f"/api/v1/events/{event_id}/raw"
    yield "/api/v1/payments/often/FT77"


def slowest(client: FlaskClient, token: dict[str, str], path: str) -> float:
    """Milliseconds within which 95 in 100 answers come."""
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        answer = client.get(path, headers=token)
        took.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.text
    return quantiles(took, n=20)[-1]


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_million_events_cost_a_reader_what_a_thousand_cost(parts: Runtime, client: FlaskClient) -> None:
    kind = parts.database.engine.dialect.name
    token = fill(parts, FEW)
    if parts.database.is_sqlite:
        with parts.database.write() as connection:
            connection.execute(text("DROP TABLE sqlite_stat1"))
        parts.database.close()
    few = [(slowest(client, token, path), len(client.get(path, headers=token).data)) for path in asked(parts, FEW)]
    started = time.monotonic()
    extend(parts, FEW + 1, MANY)
    print(f"{kind}: {MANY} events written in {time.monotonic() - started:.0f} s")
    worst: dict[str, float] = {}
    for path, (before, size) in zip(asked(parts, MANY), few, strict=True):
        ratios = []
        for _ in range(TRIES):
            after = slowest(client, token, path)
            ratios.append(after / before)
            if ratios[-1] <= 2:
                break
            time.sleep(0.5)
        print(f"{kind}: {before:6.2f} ms, {after:6.2f} ms, x {min(ratios):4.2f}, {size:6} bytes  {path[8:140]}")
        worst[path] = min(ratios)
    assert {path: ratio for path, ratio in worst.items() if ratio > 2} == {}
