"""A staff page among a million events is written within 200 ms, whichever it is."""

from datetime import timedelta

import pytest
from conftest import StandingClock
from drills.test_searches import EVENTS, MOST_MS, TRIES, percentile
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from store.plenty import START, fill, index
from web.staff.signed_in import signed_in

from receiver.model import Role
from receiver.runtime import Runtime
from receiver.store.records import lowest_id

AN_EVENT = f"{lowest_id('evt', START + timedelta(seconds=EVENTS // 2))}{'0' * 16}"

PAGES = (
    *("", "/overview", "/exceptions", "/events", "/deliveries", "/payments", "/jobs", "/replays", "/consumers"),
    *("/sources", "/days", "/people", "/audit", "/sources/often"),
    *("/events?q=invoice", "/events?q=FT333333", "/events?q=1250.50", "/events?source=rare&type=bcb.deposit"),
    *(f"/events/{AN_EVENT}", "/payments?status=rejected", "/payments?agreement=contradicted&source=often"),
    *("/payments/often/FT77", "/replays/new"),
)


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_every_page_among_a_million_events_is_written_in_200_ms(
    app: Flask, parts: Runtime, clock: StandingClock
) -> None:
    # In its last hour came 3,600 of them.
    clock.now = START + timedelta(seconds=EVENTS)
    fill(parts, EVENTS)
    index(parts)
    if parts.database.is_sqlite:
        # No receiver runs ANALYZE.
        with parts.database.write() as connection:
            connection.execute(text("DROP TABLE sqlite_stat1"))
        parts.database.close()
    client = signed_in(app, parts, Role.ADMIN)
    slow = {}
    for path in PAGES:
        best = min(_took(client, f"/staff{path}"))
        print(f"| {path or '/'} | {best:.0f} |")
        if best > MOST_MS:
            slow[path] = best
    assert slow == {}


def _took(client: FlaskClient, path: str) -> list[float]:
    """Milliseconds within which 95 in 100 answers come, in each of some tries until one is fast enough."""
    took: list[float] = []
    while len(took) < TRIES and (not took or took[-1] > MOST_MS):
        answer, milliseconds = percentile(lambda: client.get(path, follow_redirects=True))
        assert answer.status_code == 200, (path, answer.text)
        took.append(milliseconds)
    return took
