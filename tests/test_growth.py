"""The database that `make bench ARGS='--only growth'` fills: its copies are what the receiver would have written."""

import math

import pytest
from conftest import make_token
from flask.testing import FlaskClient
from sqlalchemy import text

from bench import copies, growing, growth, growth_tables
from receiver.admin import database
from receiver.reconcile.recovery import Joined
from receiver.runtime import Clock, Runtime, utc_now

SIZE = 1_100


@pytest.fixture
def clock() -> Clock:
    """The real time: copies came long before it."""
    return utc_now


def grow(parts: Runtime, to: int) -> None:
    list(growing.grow(parts, to, math.inf))
    lines = growing.newest_lines(parts)
    source = growing.the_source(parts)
    assert growing.list_and_join(parts, source, lines) == Joined(growing.SWEPT - growing.UNHEARD_OF, growing.UNHEARD_OF)


def test_a_grown_database_is_whole_and_is_read_as_any_other(
    parts: Runtime, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PART", 400)
    growing.start(parts)
    # Stopped before anything is done, and gone on with.
    assert list(growing.grow(parts, SIZE, -math.inf)) == []
    grow(parts, SIZE)
    grow(parts, 2 * SIZE)
    assert growing.payments(parts) >= 2 * SIZE
    assert growing.is_indexed(parts)
    assert {checked.what: checked.faults for checked in database.check(parts)} == dict.fromkeys(
        [what for what, _ in database.CHECKS], ()
    )
    token, number = make_token(parts), SIZE // 2
    found = client.get(f"/api/v1/events?q={copies.payment_id(number)}", headers=token).json or {}
    (event,) = found["data"]
    assert (event["payment_id"], event["amount"]) == (copies.payment_id(number), copies.amount(number))
    on_account = client.get(f"/api/v1/events?account={copies.account(number)}", headers=token).json or {}
    assert event["id"] in [each["id"] for each in on_account["data"]]
    payment = client.get(f"/api/v1/payments/bcb/{copies.payment_id(number)}", headers=token).json or {}
    assert (payment["status"], payment["agreement"], len(payment["checks"])) == ("completed", "confirmed", 1)
    raw = client.get(f"/api/v1/events/{event['id']}/raw", headers=token)
    assert copies.payment_id(number) in raw.text
    lines, _ = growth.compared(parts)
    with parts.database.read() as connection:
        on_the_day = connection.execute(text("SELECT count(*) FROM bank_lines WHERE day = '2020-01-01'")).scalar_one()
    assert lines == on_the_day > SIZE


def test_figures_are_shown_side_by_side(parts: Runtime) -> None:
    growing.start(parts)
    found: growth_tables.Figures = {
        "bytes": growth.bytes_of(parts),
        "questions": {"metrics": (1.0, 2.0)},
        "callbacks": None,
        "sweep": 0.5,
        "day": (10, 0.25),
        "load_before": 0.0,
    }
    kind = parts.database.engine.dialect.name
    shown = growth_tables.table({kind: {"1000": found, "30000": {**found, "sweep": None}}})
    assert "| metrics, p50 and p95 ms | 1.0, 2.0 | 1.0, 2.0 |" in shown
    assert "| a sweep of 1,000 lines, s | 0.50 | - |" in shown
    assert all(sum(found["bytes"][name]) > 0 for tables in growth_tables.GROUPS.values() for name in tables)
