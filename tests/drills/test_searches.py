"""A search among a million events is answered within 200 ms, whatever is asked."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from statistics import quantiles
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from store.plenty import START, fill, index
from werkzeug.test import TestResponse

from receiver.runtime import Runtime

EVENTS = 1_000_000
TIMES = 40
TRIES = 5
"""Another load on the machine may fall into one measurement, but not into all."""

MOST_MS = 200

BUSY, QUIET = "DE89 3704 0044 0000 0000 01", "DE89 3704 0044 1000 0000 77"
"""Every second event is on the one account, twenty are on the other."""

_MIDDLE = START + timedelta(seconds=EVENTS / 2)
_DAY = {"received_after": _MIDDLE.isoformat(), "received_before": (_MIDDLE + timedelta(days=1)).isoformat()}
_ALL = {"source": ["often", "seldom"], "currency": ["USD", "EUR"], "proof": "signature", "status": "completed"}

QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    "one letter that nearly all begin with": {"q": "f"},
    "a payment's id": {"q": f"FT{EVENTS // 3}"},
    "the beginning of a hundred ids": {"q": f"FT{EVENTS // 300}"},
    "what nothing begins with": {"q": "zzz"},
    "an event's id, by its beginning": {"q": "evt_019b8c"},
    "an amount and its currency": {"q": "1,250.50 USD"},
    "an amount of a day": {"q": "1250.50", **_DAY},
    "an account, with blanks": {"q": QUIET},
    "an account that every second event is on": {"account": BUSY},
    "that account, and an amount": {"account": BUSY, "amount_min": "99.90", "amount_max": "100.10"},
    "a word that all have": {"q": "invoice"},
    "a word that one in 9,000 has": {"q": "refund"},
    "a word of one": {"q": f"2026-{EVENTS // 7}"},
    "three words, of which one is rare": {"q": "invoice K77 refund"},
    "two that are frequent and never together": {"account": BUSY, "q": "DE8937040044 1"},
    "a frequent word of a rare source": {"q": "invoice", "source": "rare"},
    "a rare currency": {"currency": "CHF"},
    "a combination that never was": {"q": "f", "currency": "JPY"},
    "conflicts": {"conflict": "true"},
    "contradicted by the bank": {"agreement": "contradicted"},
    "confirmed by the bank, and a word": {"agreement": "confirmed", "q": "invoice"},
    "late, and without conflict": {"late": "true", "conflict": "false"},
    "nearly all, by eight filters": {"q": "invoice", "amount_min": "1", "late": "false", "conflict": "false", **_ALL},
}


def percentile(ask: Callable[[], TestResponse]) -> tuple[TestResponse, float]:
    """Return the last answer, and the milliseconds within which 95 in 100 answers come."""
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        answer = ask()
        took.append((time.perf_counter() - started) * 1000)
    return answer, quantiles(took, n=20)[-1]


def slowest(client: FlaskClient, token: Mapping[str, str], query: Mapping[str, Any]) -> tuple[float, str]:
    """Milliseconds within which 95 in 100 answers come, and what is in one."""
    asked = {"limit": 50, **query}
    answer, took = percentile(lambda: client.get("/api/v1/events", query_string=asked, headers=token))
    assert answer.status_code == 200, answer.text
    page = answer.get_json()
    return took, f"{len(page['data'])}{' and more' if page['next'] else ''}"


def table(client: FlaskClient, token: Mapping[str, str]) -> dict[str, float]:
    """The best of some tries for each question, printed as rows of a table."""
    found = {}
    for name, query in QUESTIONS.items():
        best, page = slowest(client, token, query)
        for _ in range(TRIES - 1):
            if best <= MOST_MS:
                break
            best = min(best, slowest(client, token, query)[0])
        print(f"| {name} | {page} | {best:.0f} |")
        found[name] = best
    return found


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_whatever_is_asked_among_a_million_events_is_answered_in_200_ms(parts: Runtime, client: FlaskClient) -> None:
    kind = parts.database.engine.dialect.name
    token = fill(parts, EVENTS)
    started = time.monotonic()
    index(parts)
    print(f"{kind}: {EVENTS} events indexed in {time.monotonic() - started:.0f} s")
    if parts.database.is_sqlite:
        # No receiver runs ANALYZE.
        with parts.database.write() as connection:
            connection.execute(text("DROP TABLE sqlite_stat1"))
        parts.database.close()
    worst = table(client, token)
    assert {name: took for name, took in worst.items() if took > MOST_MS} == {}
