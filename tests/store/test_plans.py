"""Every query of the read side goes by an index: what it costs depends on the page, not on the table."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypedDict

import banking_circle
import others
import pytest
from conftest import KEY, StandingClock, _execute, _sqlalchemy_url, add_source
from sqlalchemy import Connection, event, text
from store import made
from store.plenty import BUSY_PAYMENT, START, fill, index

from receiver import banks, runtime
from receiver.admin.figures import Gauges
from receiver.model import ExceptionKind, Purpose, RetentionKind, SubjectKind, Verdict
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.banking_circle import Config as BankingCircleConfig
from receiver.simulator.banking_circle import Simulator as BankingCircle
from receiver.simulator.bcb import Config, Simulator
from receiver.store import (
    audit,
    bank_lines,
    claims,
    consumers,
    day_sides,
    deliveries,
    due_subjects,
    events,
    exception_entries,
    exceptions,
    feed,
    figures,
    late,
    leases,
    payments,
    recoveries,
    refusals,
    replay_selection,
    retention_parts,
    schema,
    search,
    search_index,
    sources,
)
from receiver.store.consumers import ConsumerRecord
from receiver.store.day_sides import Claimed
from receiver.store.deliveries import Listed
from receiver.store.events import Filter
from receiver.store.feed import Wanted
from receiver.store.late import NewLate
from receiver.store.leases import Due, Lease
from receiver.store.records import lowest_id
from receiver.store.replay_selection import Selection
from receiver.store.retention import Limits, Progress, Rule, place_of
from receiver.store.sources import SourceRecord
from receiver.store.tables import metadata
from receiver.worker.loop import Worker

NUMBER = 20_000
FEW = re.compile(
    r"ix_(bank_lines|recoveries)_|"
    r"ix_deliveries_(rejected|late)|ix_events_(payment|late)|ix_feed_entries_(event|subject)|pk_\w+ .* = "
    r"|uq_exceptions_kind_source_id_about_subject|ix_subjects_stalled"
    r"|PRIMARY KEY \(block=\? AND facets_id=\? AND term>\? AND term<\?\)"
)
"""What finds few rows, which may be sorted: rejected and late deliveries, what is of one payment or event, or of some
blocks; exceptions of a kind of which a source has hardly any, where PostgreSQL knows that; stalled payments."""

BIG = (
    *("deliveries", "events", "feed_entries", "subjects", "checks", "search_keys", "search_events", "exceptions"),
    *("bank_lines", "recoveries"),
)
MIDDLE = START + timedelta(seconds=NUMBER / 2)
END = START + timedelta(seconds=NUMBER + 1)
EVENT = f"{lowest_id('evt', MIDDLE)}{'0' * 16}"
MANY = ("often", "seldom", "rare")

Query = Callable[[Connection], object]
Statement = tuple[str, Any]


def feed_of(after: int = 0, consumer: str | None = None, **wanted: tuple[str, ...]) -> Query:
    asked = Wanted(wanted.get("sources", ()), wanted.get("types", ()), consumer)
    return lambda connection: feed.read(connection, after=after, limit=101, wanted=asked)


def events_of(below: str | None = None, **wanted: Any) -> Query:
    return lambda connection: events.listing(connection, Filter(**wanted), below=below, limit=101)


def search_of(below: int | None = None, **wanted: Any) -> Query:
    return lambda connection: search.page(connection, search.Wanted(**wanted), below=below, limit=101)


def payments_of(**wanted: Any) -> Query:
    return lambda connection: payments.listing(connection, "payment", limit=101, **wanted)


def again_of(**wanted: Any) -> Query:
    return lambda connection: replay_selection.entries(
        connection, Selection(**wanted), behind=0, through=NUMBER, limit=500
    )


FEED: dict[str, Query] = {
    "from the beginning": feed_of(),
    "from the middle": feed_of(NUMBER // 2),
    "at the end": feed_of(NUMBER),
    "a source": feed_of(sources=("often",)),
    "a rare source": feed_of(sources=("rare",)),
    "a silent source": feed_of(sources=("silent",)),
    "several sources": feed_of(NUMBER // 2, sources=MANY),
    "a type": feed_of(types=("bcb.deposit",)),
    "a rare type": feed_of(types=("bcb.unrecognised",)),
    "a type that never came": feed_of(types=("bcb.never",)),
    "several types": feed_of(types=("bcb.deposit", "bcb.unrecognised")),
    "a source and a type": feed_of(NUMBER // 2, sources=("often",), types=("bcb.unrecognised",)),
    "a rare source and a type": feed_of(sources=("rare",), types=("bcb.deposit",)),
    "several of both": feed_of(sources=MANY, types=("bcb.deposit", "bcb.unrecognised")),
    "a consumer": feed_of(NUMBER // 2, consumer="ledger"),
    "a consumer of some sources": feed_of(consumer="ledger", sources=MANY),
    "a time": lambda connection: feed.position_at(connection, MIDDLE),
}


class Span(TypedDict):
    """Between two times."""

    received_after: datetime
    received_before: datetime


_SPAN: Span = {"received_after": MIDDLE, "received_before": MIDDLE + timedelta(minutes=5)}

EVENTS: dict[str, Query] = {
    "all": events_of(),
    "further back": events_of(EVENT),
    "a source": events_of(sources=("often",)),
    "a rare source": events_of(sources=("rare",)),
    "a silent source": events_of(sources=("silent",)),
    "several sources": events_of(sources=MANY),
    "a type": events_of(types=["bcb.deposit"]),
    "a rare type": events_of(types=["bcb.unrecognised"]),
    "a type that never came": events_of(types=["bcb.never"]),
    "a source and a type": events_of(sources=("rare",), types=["bcb.deposit"]),
    "several sources and a type": events_of(sources=MANY, types=["bcb.unrecognised"]),
    "a payment": events_of(payment_ids=["FT77"]),
    "a busy payment": events_of(payment_ids=[BUSY_PAYMENT]),
    "no such payment": events_of(payment_ids=["FT-none"]),
    "a payment of a source": events_of(payment_ids=["FT77"], sources=("often",)),
    "a payment of several sources": events_of(payment_ids=["FT77"], sources=MANY),
    "a payment and a type": events_of(payment_ids=["FT77"], types=["bcb.deposit"]),
    "a payment, a source and a type": events_of(payment_ids=["FT77"], sources=("often",), types=["bcb.deposit"]),
    "a payment and a time": events_of(payment_ids=["FT77"], **_SPAN),
    "an event": events_of(event_ids=[EVENT]),
    "an event of a source": events_of(event_ids=[EVENT], sources=("often",)),
    "an event of several sources and a type": events_of(event_ids=[EVENT], sources=MANY, types=["bcb.deposit"]),
    "late": events_of(late=True),
    "late, a source and a type": events_of(late=True, sources=("often",), types=["bcb.deposit"]),
    "late, of a payment": events_of(late=True, payment_ids=["FT77"]),
    "not late, a rare source": events_of(late=False, sources=("rare",)),
    "after a time": events_of(received_after=MIDDLE),
    "before a time": events_of(received_before=MIDDLE),
    "between times": events_of(**_SPAN),
    "between times, a source": events_of(sources=("often",), **_SPAN),
    "between times, a rare source": events_of(sources=("rare",), **_SPAN),
    "between times, a type": events_of(types=["bcb.unrecognised"], **_SPAN),
    "one": lambda connection: events.find(connection, EVENT),
    "its deliveries": lambda connection: events.deliveries_of(connection, EVENT),
    "its bytes": lambda connection: events.raw(connection, EVENT),
    "its entries": lambda connection: feed.of_event(connection, EVENT),
}

PAYMENTS: dict[str, Query] = {
    "all": payments_of(),
    "further back": payments_of(below=NUMBER // 2),
    "a source": payments_of(names=["often"]),
    "a rare source": payments_of(names=["rare"]),
    "a silent source": payments_of(names=["silent"]),
    "several sources": payments_of(names=list(MANY)),
    "a status": payments_of(statuses=["completed"]),
    "a rare status": payments_of(statuses=["rejected"]),
    "a status that never was": payments_of(statuses=["returned"]),
    "an agreement": payments_of(agreements=["confirmed"]),
    "a rare agreement": payments_of(agreements=["contradicted"]),
    "an agreement that never was": payments_of(agreements=["unknown_to_bank"]),
    "a status and an agreement": payments_of(statuses=["rejected"], agreements=["contradicted"]),
    "a source and a status": payments_of(names=["often"], statuses=["rejected"]),
    "a source and an agreement": payments_of(names=["often"], agreements=["contradicted"], below=NUMBER // 2),
    "all three": payments_of(names=["rare"], statuses=["completed"], agreements=["confirmed"]),
    "several sources and both": payments_of(names=list(MANY), statuses=["completed"], agreements=["confirmed"]),
    "one": lambda connection: payments.find(connection, "often", "payment", "FT77"),
    "its checks": lambda connection: payments.checks_of(connection, 77),
    "the checks of a page": lambda connection: payments.checks_of_each(connection, range(NUMBER, NUMBER - 5000, -50)),
    "stalled ones": payments_of(stalled=True),
    "stalled ones of a source and a status": payments_of(stalled=True, names=["often"], statuses=["pending"]),
    "others than stalled ones": payments_of(stalled=False, below=NUMBER // 2),
    "whether any stalls": lambda connection: payments.has_stalled(connection, 1, MIDDLE),
    "of which sources anything is": lambda connection: due_subjects.sources_due(
        connection, list(Purpose), Lease(MIDDLE, MIDDLE, "l"), [1, 2, 3, 4]
    ),
    "what is due": lambda connection: due_subjects.purposes_due(connection, MIDDLE),
    "what a clock that was wrong has put off": lambda connection: leases.put_off_too_far(
        connection, 1, MIDDLE, timedelta(minutes=1)
    ),
}

_HOUR = timedelta(hours=1)
_PAYMENTS = ("FT77", "FT78", "FT-none", BUSY_PAYMENT)

REPLAYS: dict[str, Query] = {
    "all": again_of(),
    "an event": again_of(event_ids=[EVENT]),
    "a payment": again_of(payment_ids=["FT77"]),
    "a source": again_of(sources=("rare",)),
    "several payments": again_of(payment_ids=["FT77", "FT78", "FT79"]),
    "several payments and events": again_of(payment_ids=["FT77", "FT78"], event_ids=[EVENT, "evt_none"]),
    "a type": again_of(types=["bcb.unrecognised"]),
    "several types": again_of(types=["bcb.unrecognised", "bcb.job.completed"]),
    "a time": again_of(received_after=MIDDLE),
    "what a search found": again_of(chosen="pln_none"),
}

REJECTED: dict[str, Query] = {
    "all": lambda connection: deliveries.rejected(connection, None, below=None, limit=101),
    "of a source": lambda connection: deliveries.rejected(connection, "often", below=None, limit=101),
    "of a source, for one reason": lambda connection: deliveries.rejected_for(connection, 1, "unresolved", limit=50),
    "how many of a source": lambda connection: refusals.stored(connection, 1),
    "the last of a bank": lambda connection: refusals.latest_of_bank(connection, 1, END),
    "the last": replay_selection.last_rejected,
    "to be verified": lambda connection: replay_selection.rejected(
        connection, Selection(), behind="", through="dlv_g", limit=101
    ),
}

LATE: dict[str, Query] = {
    "all": lambda connection: deliveries.listing(connection, Listed((Verdict.LATE,)), below=None, limit=101),
    "of a source": lambda connection: deliveries.listing(
        connection, Listed((Verdict.LATE,), ["often"]), below=None, limit=101
    ),
    "how many": lambda connection: late.waiting(connection, 1),
    "about a payment": lambda connection: late.claims_about(connection, 1, "payment", "FT77"),
    "what one tells": lambda connection: late.held(connection, EVENT.replace("evt", "dlv")),
}

SEARCHES: dict[str, Query] = {
    "nothing": search_of(),
    "further back": search_of(below=NUMBER // 2),
    "one letter": search_of(question="f"),
    "one letter of a rare source": search_of(question="f", source=["rare"]),
    "a question that nothing fits": search_of(question="zzz"),
    "a question of several words": search_of(question="invoice K77 refund"),
    "an amount": search_of(question="1,000.50 USD"),
    "an account with blanks": search_of(question="DE89 3704 0044"),
    "a delivery": search_of(question="dlv_019b76"),
    "an id's beginning": search_of(question="evt_"),
    "an account and an amount": search_of(account=["DE89370400440000000001"], amount_min=Decimal(9000)),
    "several accounts": search_of(account=["DE89370400440000000001", "DE89370400441000000077"]),
    "a day": search_of(question="invoice", **_SPAN),
    "conflicts": search_of(conflict=True),
    "no conflicts": search_of(conflict=False),
    "a rare agreement": search_of(agreement=["contradicted"]),
    "a frequent agreement": search_of(agreement=["confirmed"], question="f"),
    "an event and a currency": search_of(event_id=[EVENT], currency=["USD"]),
    "a payment and a currency": search_of(payment_id=["FT77"], currency=["USD"]),
    "all at once": search_of(
        question="invoice",
        source=list(MANY),
        type=["bcb.deposit"],
        currency=["USD"],
        proof=["signature"],
        late=False,
        status=["completed"],
        agreement=["confirmed"],
        conflict=False,
        amount_max=Decimal(5000),
        **_SPAN,
    ),
}

INDEXING: dict[str, Query] = {
    "whether there is any": lambda connection: search_index.is_behind(connection),
    "what is to be given its payment": lambda connection: claims.name_payment(
        connection, Due(7, 1, SubjectKind.REFERENCE, "FT77", 0, None, MIDDLE, "", Purpose.CLAIM), "FT78"
    ),
}


def exceptions_of(below: str | None = None, **wanted: Any) -> Query:
    return lambda connection: exceptions.listing(connection, exceptions.Wanted(**wanted), below=below, limit=51)


EXCEPTIONS: dict[str, Query] = {
    "what is unresolved": exceptions_of(states=exceptions.UNRESOLVED),
    "further back": exceptions_of(EVENT.replace("evt", "chg"), states=exceptions.UNRESOLVED),
    "resolved ones of a kind": exceptions_of(states=["resolved"], kinds=["conflict"]),
    "a rare kind": exceptions_of(states=exceptions.UNRESOLVED, kinds=["contradicted"]),
    "a source": exceptions_of(states=exceptions.UNRESOLVED, sources=["rare"]),
    "several sources and kinds": exceptions_of(sources=MANY, kinds=["conflict", "late"]),
    "one": lambda connection: exceptions.find(connection, f"exc_{EVENT}"),
    "about a payment": lambda connection: exceptions.of_subject(connection, 1, [("payment", "FT77"), ("event", EVENT)]),
    "how many": exceptions.counts,
    "refused deliveries": exceptions.refused,
    "what is known of them": exceptions.known_refused,
    "late deliveries that are new": exceptions.late_unopened,
    "late deliveries that are none any more": exceptions.has_late_over,
    "what is watched": lambda connection: exceptions.standing(connection, ExceptionKind.SILENCE),
    "what was opened": lambda connection: exception_entries.opened_at(connection, [f"chg_{EVENT}"]),
}

RETENTION_DAY = START + timedelta(days=1)
LIMITS = Limits(
    asked={1, 2, 3},
    floor=NUMBER,
    known_until=START + timedelta(days=1000),
    before={1: RETENTION_DAY, 2: RETENTION_DAY, 3: RETENTION_DAY},
)


def removal_of(kind: RetentionKind, source_id: int = 1, through: str = "") -> Query:
    rule, at = Rule(source_id, kind, RETENTION_DAY, START), Progress(source_id, kind, through, "", None, 0, None)
    return lambda connection: retention_parts.look(connection, rule, LIMITS, at)


def second_look_of(kind: RetentionKind) -> Query:
    rule, at = Rule(1, kind, RETENTION_DAY, START), Progress(1, kind, "x", "", None, 0, None)
    return lambda connection: retention_parts.look_left(connection, rule, LIMITS, at)


RETENTION: dict[str, Query] = {
    "payloads": removal_of(RetentionKind.PAYLOAD),
    "payloads from the middle": removal_of(RetentionKind.PAYLOAD, through=EVENT.replace("evt", "dlv")),
    "payloads of a rare source": removal_of(RetentionKind.PAYLOAD, source_id=3),
    "headers": removal_of(RetentionKind.HEADERS),
    "rejected ones": removal_of(RetentionKind.REJECTED),
    "checks": removal_of(RetentionKind.CHECKS, through=place_of(NUMBER // 2)),
    "the feed": removal_of(RetentionKind.FEED, source_id=0, through=place_of(NUMBER // 2)),
    "what was held back": second_look_of(RetentionKind.PAYLOAD),
    "checks that were held back": second_look_of(RetentionKind.CHECKS),
    "entries that were held back": second_look_of(RetentionKind.FEED),
}

HEALTH: dict[str, Query] = {
    "when a source last called back": lambda connection: events.latest(connection, 1, END),
    "when a silent source did": lambda connection: events.latest(connection, 4, END),
    "what is due at banks": lambda connection: due_subjects.due_payments(connection, MIDDLE, 200, [1, 4]),
    "the newest checks": lambda connection: payments.latest_checks(connection, limit=500),
    "what a source sent of late": lambda connection: refusals.counts(connection, 1, MIDDLE, MIDDLE + _HOUR),
    "what a silent source did": lambda connection: refusals.counts(connection, 4, MIDDLE, MIDDLE + _HOUR),
    "the latest one without an event": lambda connection: deliveries.latest_without_event(
        connection, 1, since=MIDDLE, until=END
    ),
    "that of a silent source": lambda connection: deliveries.latest_without_event(
        connection, 4, since=MIDDLE, until=END
    ),
    "what came of late": lambda connection: refusals.arrived(connection, MIDDLE, limit=500),
    "refused ones of a source": lambda connection: refusals.of_bank(connection, 1, MIDDLE, END),
    "the audit log about an event": lambda connection: audit.about(connection, "event", EVENT, limit=50),
    "the last removal of a consumer": lambda connection: audit.latest(connection, "consumer.removed", "consumer", "a"),
}

SWEEPS: dict[str, Query] = {
    "what a callback may meet": lambda connection: recoveries.named(connection, ["FT77x", "FT78x"]),
    "what is left to be made an event": lambda connection: recoveries.expected(connection, 1),
    "lines without an event": lambda connection: bank_lines.unjoined(connection, 1, behind=0, limit=100),
    "whether there are any": lambda connection: bank_lines.has_unjoined(connection, 1, MIDDLE),
    "lines of the same payments": lambda connection: bank_lines.unjoined_like(connection, 1, [77, 78]),
    "events that have lines": lambda connection: bank_lines.amounts_of(connection, [EVENT]),
    "events of payments": lambda connection: events.of_payments(connection, 1, ["FT77", "FT78"]),
}

DAYS: dict[str, Query] = {
    "events by their ids": lambda connection: day_sides.with_facts(connection, [EVENT, "evt_none"]),
    "what came on one": lambda connection: day_sides.claimed(connection, 1, MIDDLE, MIDDLE + _HOUR, behind=""),
    "what came on one, further on": lambda connection: day_sides.claimed(
        connection, 1, MIDDLE - _HOUR, MIDDLE + _HOUR, behind=EVENT
    ),
    "how much came on one": lambda connection: day_sides.number_claimed(connection, 1, MIDDLE, MIDDLE + _HOUR, 9),
    "what is known of payments": lambda connection: day_sides.payments(connection, 1, _PAYMENTS),
    "what no list has": lambda connection: day_sides.on_no_list(connection, 1, _PAYMENTS),
    "what the bank denies": lambda connection: day_sides.denied(connection, 1, ["R1", "R2"]),
    "what was not joined": lambda connection: day_sides.about_payments(connection, 1, _PAYMENTS),
    "whose callbacks were not": lambda connection: day_sides.loose(
        connection, [Claimed(id_, "FT77", "FT77", MIDDLE, None, "1.00", "EUR") for id_ in (EVENT, "evt_none")]
    ),
}

LEDGER = ConsumerRecord("ledger", NUMBER // 2, 0, None, [], MIDDLE, None, None)

METRICS: dict[str, Query] = {
    "since the last callbacks": figures.last_callbacks,
    "the oldest unconfirmed": figures.oldest_unconfirmed,
    "how far consumers are behind": figures.consumer_lags,
    "how far one is": lambda connection: consumers.lag(connection, LEDGER, MIDDLE),
    "current secrets": figures.current_secrets,
    "how many payments": lambda connection: figures.numbers(connection, "subjects"),
}

QUERIES = {
    f"{room}: {name}": query
    for room, queries in (
        ("feed", FEED),
        ("events", EVENTS),
        ("payments", PAYMENTS),
        ("replays", REPLAYS),
        ("rejected", REJECTED),
        ("late", LATE),
        ("search", SEARCHES),
        ("indexing", INDEXING),
        ("exceptions", EXCEPTIONS),
        ("retention", RETENTION),
        ("health", HEALTH),
        ("sweeps", SWEEPS),
        ("days", DAYS),
        ("metrics", METRICS),
    )
    for name, query in queries.items()
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One database of each kind for all tests, which only look at it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/receiver.db"
    if request.param == "postgresql":
        postgres, name = request.getfixturevalue("postgres"), f"plans_{os.getpid()}"
        _execute(postgres, f"CREATE DATABASE {name}")
        url = _sqlalchemy_url(postgres, name)
    parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    schema.upgrade(parts.database, parts.encryption)
    fill(parts, NUMBER)
    index(parts)
    open_many(parts)
    with pytest.MonkeyPatch.context() as patches:
        # As small a part of all as it is of a million: else PostgreSQL may rather sort the few that there are.
        patches.setattr(search, "FEW_SUBJECTS", 20)
        yield parts
    parts.database.close()
    if request.param == "postgresql":
        _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def unanalyzed(filled: Runtime) -> Iterator[Runtime]:
    """SQLite without statistics, as every receiver has it: nobody runs ANALYZE."""
    with filled.database.write() as connection:
        connection.execute(text("DROP TABLE sqlite_stat1"))
    filled.database.close()
    yield filled
    with filled.database.write() as connection:
        connection.execute(text("ANALYZE"))
    filled.database.close()


ON_SQLITE = pytest.mark.parametrize("filled", ["sqlite"], indirect=True)


def open_many(parts: Runtime) -> None:
    """Something about every payment: few of it unresolved, few of a rare kind."""
    with parts.database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO exceptions"
                " (id, kind, state, source_id, about, subject, number, opened_at, changed_at, place)"
                " SELECT 'exc_' || last_event_id, CASE WHEN id % 1000 = 7 THEN 'contradicted' ELSE 'conflict' END,"
                " CASE WHEN id % 100 = 3 THEN 'open' ELSE 'resolved' END, source_id, 'payment', subject, 1, created_at,"
                " created_at, 'chg' || substr(last_event_id, 4) FROM subjects"
            )
        )
        # A line about every payment, few without an event, and as many that no callback has come for.
        connection.execute(
            text(
                "INSERT INTO bank_lines"
                " (source_id, identity, list_name, day, type, payment_id, status, at, detail, seen_at, event_id)"
                " SELECT source_id, 'line ' || id, 'list', '2026-03-04', 'bcb.deposit', subject, 'unknown',"
                " created_at, '{}', created_at, CASE WHEN id % 100 = 3 THEN NULL ELSE last_event_id END FROM subjects"
            )
        )
        connection.execute(
            text(
                "INSERT INTO recoveries (source_id, line_id, name, event_id, since)"
                " SELECT source_id, id, payment_id || 'x', CASE WHEN id % 100 = 3 THEN NULL ELSE event_id END, seen_at"
                " FROM bank_lines"
            )
        )
        # One that names no payment: the sweep's event of it turned out to be about one.
        of_payment = "(SELECT max(id) FROM events WHERE payment_id = :payment)"
        named = {"payment": _PAYMENTS[0]}
        connection.execute(text(f"UPDATE events SET found_by = 'sweep' WHERE id = {of_payment}"), named)  # noqa: S608
        connection.execute(
            text(
                "INSERT INTO bank_lines"  # noqa: S608 - words of our own
                " (source_id, identity, list_name, day, type, status, detail, seen_at, event_id)"
                " SELECT source_id, 'line without a name', 'list', '2026-03-04', type, 'unknown', '{}', received_at, id"
                f" FROM events WHERE id = {of_payment}"
            ),
            named,
        )
        # One that is known by a reference of which the bank knows no payment.
        connection.execute(
            text(
                "INSERT INTO subjects"
                " (source_id, kind, subject, status, agreement, created_at, updated_at, attempts)"
                " SELECT source_id, 'reference', 'R1', 'unknown', 'unknown_to_bank', created_at, updated_at, 1"
                " FROM subjects WHERE id = 77"
            )
        )
        for table in ("exceptions", "bank_lines", "recoveries", "events"):
            connection.execute(text(f"ANALYZE {table}"))


def statements_of(parts: Runtime, query: Query) -> Iterator[Statement]:
    """The very statements that a query sends."""
    sent: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(parts.database.engine, "before_cursor_execute", note)
    try:
        with parts.database.read() as connection:
            query(connection)
    finally:
        event.remove(parts.database.engine, "before_cursor_execute", note)
    yield from sent


def test_each_query_goes_by_an_index(filled: Runtime) -> None:
    faults_in = sqlite_faults if filled.database.is_sqlite else postgresql_faults
    assert {name: found for name, query in QUERIES.items() if (found := faults_in(filled, query))} == {}


def test_lines_without_a_payment_are_asked_for_among_what_was_not_joined(filled: Runtime) -> None:
    found = [statement for statement, _ in statements_of(filled, DAYS["what was not joined"])]
    assert sum("bank_lines.payment_id IS NULL" in statement for statement in found) == 1


@ON_SQLITE
def test_each_query_goes_by_an_index_where_sqlite_knows_nothing_of_its_tables(unanalyzed: Runtime) -> None:
    """PostgreSQL gathers its statistics by itself.

    No receiver runs ANALYZE: what was true of a young database would mislead the planner later.
    """
    assert {name: found for name, query in QUERIES.items() if (found := sqlite_faults(unanalyzed, query))} == {}


@pytest.mark.parametrize("filled", ["postgresql"], indirect=True)
def test_the_first_of_a_source_is_not_looked_for_among_those_of_all(filled: Runtime) -> None:
    """Where a source has none, any other index in that order would be walked over to its end."""
    queries = {name: METRICS[name] for name in ("since the last callbacks", "the oldest unconfirmed")}
    queries |= {
        name: QUERIES[name] for name in ("payments: of which sources anything is", "health: what is due at banks")
    }
    asked = dict.fromkeys(queries, 0)
    for name, query in queries.items():
        for statement, parameters in statements_of(filled, query):
            with filled.database.read() as connection:
                explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
                asked[name] += removed_by_filters(explained.scalar_one()[0]["Plan"])
    assert all(removed < NUMBER / 100 for removed in asked.values()), asked


def removed_by_filters(plan: dict[str, Any]) -> int:
    """How many rows were looked at in vain."""
    below = sum(removed_by_filters(part) for part in plan.get("Plans", ()))
    return below + int(plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"])


def querying(statement: str) -> Query:
    return lambda connection: connection.execute(text(statement)).all()


def test_a_plan_that_scans_or_sorts_is_noticed(filled: Runtime) -> None:
    faults_in = sqlite_faults if filled.database.is_sqlite else postgresql_faults
    for bad in (
        "SELECT * FROM events WHERE claimed_status = 'rejected' LIMIT 10",
        "SELECT * FROM feed_entries WHERE type = 'bcb.unrecognised' ORDER BY time LIMIT 10",
        "SELECT * FROM feed_entries ORDER BY time LIMIT 10",
    ):
        assert faults_in(filled, querying(bad)), bad


@ON_SQLITE
def test_what_is_of_one_payment_or_event_is_looked_for_by_it(unanalyzed: Runtime) -> None:
    """PostgreSQL knows how many rows a value stands for.

    Any other index would serve the order, and walk over all of a frequent type to find one payment.
    """
    others = re.compile(r"SEARCH (events|feed_entries) .*\((source_id|type)=")
    for name, query in QUERIES.items():
        if re.search("a payment|an event|a busy payment", name):
            details = [
                detail for found in statements_of(unanalyzed, query) for detail in sqlite_plan(unanalyzed, found)
            ]
            assert not [detail for detail in details if others.search(detail)], name


def sqlite_plan(parts: Runtime, statement: Statement) -> list[str]:
    with parts.database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement[0]}", statement[1])
        return [row[3] for row in rows]


def sqlite_faults(parts: Runtime, query: Query) -> list[str]:
    """Scans of a big table (but in the index's own order, up to the page's limit), and sorts of one."""
    faults = []
    for statement, parameters in statements_of(parts, query):
        with parts.database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        rows = [row for row in plan if not FEW.search(row[3])]
        filtered = " WHERE " in statement.replace("\n", " ")
        for number, parent, _, detail in rows:
            about = re.match(r"(SCAN|SEARCH) (\w+)", detail)
            if about and about[1] == "SCAN" and about[2] in BIG and (filtered or "USING INDEX" not in detail):
                faults.append(detail)
            if detail.startswith("USE TEMP B-TREE") and any(
                other[1] == parent and other[0] != number and re.match(rf"(SCAN|SEARCH) ({'|'.join(BIG)})\b", other[3])
                for other in rows
            ):
                faults.append(f"{detail} over {[row[3] for row in rows]}")
    return faults


def numbered(statement: str) -> str:
    """The same statement with parameters by number, as PostgreSQL itself writes them."""
    numbers = count(1)
    return re.sub(r"%\(\w+\)s", lambda _: f"${next(numbers)}", statement)


def postgresql_faults(parts: Runtime, query: Query) -> list[str]:
    """The same for PostgreSQL, with these parameters and with any: after five runs, it plans for all alike."""
    faults = []
    for statement, parameters in statements_of(parts, query):
        with parts.database.read() as connection:
            known = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
            general = numbered(statement)
            driver = connection.connection.cursor()
            driver.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {general}")
            ((unknown,),) = driver.fetchall()
        for kind, found in (("these", known), ("any", unknown)):
            plan = json.loads(found) if isinstance(found, str) else found
            faults += [f"{kind}: {fault}" for fault in _faults_below(plan[0]["Plan"], is_sorted=False)]
    return faults


def _faults_below(node: dict[str, Any], *, is_sorted: bool) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    is_few = FEW.match(f"{node.get('Index Name', '')} {node.get('Index Cond', '')}")
    if table in BIG and (kind == "Seq Scan" or (is_sorted and not is_few)):
        yield f"{kind} on {table}{' to be sorted' if is_sorted else ''}: {node.get('Filter', '')}"
    # What a limit lets through may be sorted: it is a page.
    is_sorted = kind in ("Sort", "Incremental Sort") or (is_sorted and kind != "Limit")
    for below in node.get("Plans", ()):
        yield from _faults_below(below, is_sorted=is_sorted)


# What a worker's round and a look at the metrics ask

_OF_EACH_SOURCE = {"sources", "sweeps", "source_watches", "request_budgets", "request_spendings", "circuits", "outages"}
_OF_EACH_SOURCE |= {"bank_tokens", "public_keys", "signing_secrets", "credential_changes", "day_heads"}
_OF_EACH_SOURCE |= {"retention_progress"}
_OF_PEOPLE = {"api_tokens", "consumers", "consumer_ranges", "replays", "audit_keys", "alarm_progress"}
_OF_ONE_ROW = {"feed_head", "audit_head", "search_progress", "retention_turn", "worker_seen"}
_PASSING = {"pending_events", "feed_outbox", "search_conflicts", "staff_forms", "staff_sessions"}
"""What is emptied as soon as it is dealt with."""
_OF_WORDS = {"search_facets", "tallies"}
"""A row for each combination of words; where there are many parts of it, they are put together."""

GROWING = set(metadata().tables) - _OF_EACH_SOURCE - _OF_PEOPLE - _OF_ONE_ROW - _PASSING - _OF_WORDS

PREFIX = re.compile(r"\((?:(?:source_id|kind|type|state|verdict)(?:=\?|>\? AND \w+<\?)(?: AND )?)+\)")
"""A place in an index that much has in common: what is behind it has no end."""

BOUNDED = {
    r"ix_deliveries_rejected_(id|network)": "a source's refused deliveries are bounded in number",
    "ix_deliveries_late": "what is late waits for an answer of the bank, or a person",
    "ix_bank_lines_unjoined": "lines that no event is known of are made events after a while",
    r"sqlite_autoindex_exceptions_2 \(kind=": "kinds of which a source has one each, or one for each reason",
    r"ix_exceptions_state \(state=\? AND kind=": "what is unresolved about late deliveries",
    r"sqlite_autoindex_day_versions_1 \(source_id=": "a source has one for each day, or a few",
    "SCAN search_events": "the foreign key of a new row of search_facets: done only while another is violated",
    r"SCAN recoveries .* of SELECT EXISTS \(SELECT 1 FROM recoveries\)": "it ends with the first",
    "ix_recoveries_expected": "what is about to be made an event",
}
"""What looks as if it had no end, by its plan and its statement, and why it has one."""


def boundless(parts: Runtime, statement: str, parameters: Any) -> list[str]:
    """What of a plan goes over all of a growing table, or over all that something frequent has of one."""
    with parts.database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        details: list[str] = [row[3] for row in plan]
    words = " ".join(statement.split())
    names = {alias: name for name, alias in re.findall(r"\b(\w+) AS (\w+)", statement) if name in GROWING}
    # A page in the order of the index: what is looked at ends with it.
    is_page = "ORDER BY" in statement and " LIMIT " in statement and not any("TEMP B-TREE" in each for each in details)
    return [
        detail
        for detail in details
        if (about := re.match(r"(SCAN|SEARCH) (\w+)(.*)", detail))
        and names.get(about[2], about[2]) in GROWING
        and (PREFIX.search(about[3]) if about[1] == "SEARCH" else True)
        and not (is_page and "INDEX" in about[3])
        and not any(re.search(bounded, f"{detail} of {words}") for bounded in BOUNDED)
    ]


@pytest.fixture
def one_of_each(parts: Runtime, clock: StandingClock) -> Iterator[list[SourceRecord]]:
    """A source of each bank; two of the banks answer."""
    with Simulator(Config(rate_limit=0), clock=clock) as bcb, BankingCircle(BankingCircleConfig(), clock=clock) as bc:
        add_source(parts, base_url=bcb.url)
        banking_circle.add_source(parts, bc)
        others.add(parts, "connectpay", None, base_url="http://127.0.0.1:9")
        others.add(parts, "banqup", others.TOKEN, base_url="http://127.0.0.1:9")
        others.add(parts, "standard_webhooks", others.WHSEC)
        with parts.database.read() as connection:
            added = sources.every(connection)
        assert {source.bank for source in added} == set(banks.names())
        yield added


def send(parts: Runtime, source: SourceRecord, number: int) -> None:
    """Let events come about so many payments of one account; one that is late; some that are refused."""
    account = {"account_number": "1046406142", "account_id": "1046406142"}
    for _ in range(number):
        arrived = made.delivery(parts, source)
        made.record(parts, arrived, made.event(parts, f"{arrived.id} of {source.name}", facts=account))
    with parts.database.write() as connection:
        arrived = made.delivery(parts, source)
        told = made.event(parts, f"{arrived.id} of {source.name}")
        late.hold(connection, NewLate(arrived, [told], "stale", "an hour late"))
        for likely in (True, False):
            refused = made.delivery(parts, source)
            bounds: dict[str, int] = {"most": 10, "body_bytes": 100}
            deliveries.store_rejected(
                connection, refused, reason="signature", detail="", proven=False, likely=likely, **bounds
            )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_round_of_the_worker_and_a_look_at_the_metrics_go_over_nothing_that_grows(
    parts: Runtime, clock: StandingClock, one_of_each: list[SourceRecord]
) -> None:
    """On SQLite without statistics, as every receiver has it: PostgreSQL gathers its own."""
    sweeping = parts.settings.model_copy(update={"sweep_seconds": 60, "public_url": "https://r.example"})
    removing = {f"retention_{kind}_days": 1 for kind in ("payload", "headers", "rejected", "checks", "feed")}
    first, last = (replace(parts, settings=settings) for settings in (sweeping, sweeping.model_copy(update=removing)))
    gauges, sent = Gauges(first), dict[str, Any]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            sent.setdefault(statement, parameters)

    for source in one_of_each:
        send(parts, source, 12)
    event.listen(parts.database.engine, "before_cursor_execute", note)
    try:
        # The looks of a minute later, and those in the silence of more than a week, in which some are refused.
        for changed, number in ((first, 3), (first, 1), (last, 3)):
            worker = Worker(changed)
            for _ in range(number):
                worker._round()
                gauges.read()
                clock.forward(61)
            if number == 1:
                clock.forward(8 * 86400)
                for source in one_of_each:
                    send(parts, source, 0)
    finally:
        event.remove(parts.database.engine, "before_cursor_execute", note)
    found = {statement: faults for statement, given in sent.items() if (faults := boundless(parts, statement, given))}
    assert found == {}
    # The looks that only silence, refusals, or age lead to are among them.
    for words in (
        "deliveries.verdict IN ('duplicate', 'late')",
        "'rejected' AND (deliveries.likely IS 1",
        "FROM event_holds",
    ):
        assert any(words in " ".join(statement.split()) for statement in sent), words


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "is_boundless"),
    [
        ("SELECT max(id) FROM deliveries WHERE source_id = ? AND proven", True),
        ("SELECT id FROM deliveries WHERE source_id = ? AND id > 'dlv' ORDER BY id LIMIT 1", True),
        ("SELECT count(*) FROM subjects AS known WHERE known.source_id = ?", True),
        ("SELECT count(*) FROM checks WHERE outcome = ?", True),
        ("SELECT id FROM events WHERE source_id = ? ORDER BY id DESC LIMIT 1", False),
        ("SELECT id FROM events WHERE source_id = 1 AND identity = ?", False),
        ("SELECT count(*) FROM sources WHERE id <> ?", False),
    ],
)
def test_a_plan_that_has_no_end_is_noticed(parts: Runtime, statement: str, is_boundless: bool) -> None:
    assert bool(boundless(parts, statement, (1,))) is is_boundless
