"""Many events at once, written by the database itself: frequent and rare sources, types, states, and a busy payment."""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

from receiver.runtime import Runtime
from receiver.store import api_tokens, search_index, sources

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first one came; one comes every second."""

SOURCES = ("often", "seldom", "rare", "silent")
TYPES = ("bcb.deposit", "bcb.job.completed", "bcb.unrecognised", "bcb.never")
BUSY_PAYMENT = "FT-busy"
"""One payment in a hundred events is this one."""

PART = 100_000

_SPELLINGS = {
    "sqlite": {
        "hex": "printf('%012x', {})",
        "time": "strftime('%Y-%m-%d %H:%M:%f', ({}) / 1000.0, 'unixepoch') || '000'",
        "blob": "CAST(printf('%032d', n.i * 7919 % 1000003) || printf('%0200d', n.i) AS BLOB)",
        "json": "'{}'",
    },
    "postgresql": {
        "hex": "lpad(to_hex(CAST({} AS bigint)), 12, '0')",
        "time": "to_timestamp(({}) / 1000.0)",
        "blob": "sha256(int8send(CAST(n.i AS bigint)))",
        "json": "CAST('{}' AS json)",
    },
}

_SOURCE = "CASE WHEN n.i % 1000 = 7 THEN {2} WHEN n.i % 10 = 3 THEN {1} ELSE {0} END"
_TYPE = "CASE WHEN n.i / 7 % 1000 = 5 THEN '{2}' WHEN n.i / 7 % 10 = 3 THEN '{1}' ELSE '{0}' END"
_PAYMENT = f"CASE WHEN n.i % 100 = 11 THEN '{BUSY_PAYMENT}' ELSE 'FT' || n.i END"
_AMOUNT = "(n.i % 9973) || '.' || (10 + n.i % 90)"
_CURRENCY = "CASE WHEN n.i % 50 = 21 THEN 'CHF' WHEN n.i % 5 = 1 THEN 'EUR' ELSE 'USD' END"
_ACCOUNT = "CASE WHEN n.i % 2 = 0 THEN '0000000001' ELSE CAST(1000000000 + n.i % 50021 AS text) END"
_REMITTANCE = "'Invoice 2026-' || n.i || ' K' || (n.i % 5003) || CASE WHEN n.i % 9000 = 11 THEN ' refund' ELSE '' END"
_FACTS = (
    f"""'{{"account_number"\\: "DE8937040044' || {_ACCOUNT} || '", "direction"\\: "Credit","""
    f""" "remittance"\\: "' || {_REMITTANCE} || '"}}'"""
)
_DATA = '{"claimed_status": "completed", "amount": "1000.00", "currency": "USD", "proof": "signature"}'


def fill(parts: Runtime, number: int) -> dict[str, str]:
    """Write so many events, their deliveries, feed entries, payments and checks; return a token's headers."""
    with parts.database.write() as connection:
        for name in SOURCES:
            sources.add(connection, name=name, bank="bcb", environment="sandbox", base_url=None, options={}, now=START)
        token = api_tokens.create(
            connection, name="plenty", scopes=api_tokens.SCOPES, sources=(), now=START, expires_at=None
        )
        # So that measuring readers write nothing.
        api_tokens.note_use(connection, 1, parts.clock())
    extend(parts, 1, number)
    with parts.database.write() as connection:
        connection.execute(text("ANALYZE"))
    return {"Authorization": f"Bearer {token}"}


def extend(parts: Runtime, first: int, last: int) -> None:
    """Write the events from one number to another."""
    for start in range(first, last + 1, PART):
        with parts.database.write() as connection:
            _write(connection, start, min(start + PART - 1, last))
    if not parts.database.is_sqlite:
        # As PostgreSQL does by itself after a while; nobody does it for SQLite.
        with parts.database.write() as connection:
            connection.execute(text("ANALYZE"))


def index(parts: Runtime) -> int:
    """Index all that was written, so that it can be searched for; return how many entries those are."""
    number = 0
    while True:
        with parts.database.write() as connection:
            done = search_index.index_older(connection, 5000)
        number += done
        if not done:
            break
    with parts.database.write() as connection:
        connection.execute(text("ANALYZE"))
    return number


def _write(connection: Connection, first: int, last: int) -> None:
    spelling = _SPELLINGS[connection.dialect.name]
    ids = {row.name: row.id for row in connection.execute(text("SELECT id, name FROM sources"))}
    source = _SOURCE.format(*(ids[name] for name in SOURCES))
    kind = _TYPE.format(*TYPES)
    millisecond = f"{int(START.timestamp() * 1000)} + CAST(n.i AS bigint) * 1000"
    key = f"{spelling['hex'].format(millisecond)} || '{'0' * 16}'"
    time = spelling["time"].format(millisecond)
    json, digest = spelling["json"], f"'{'0' * 64}'"
    said = _FACTS if connection.dialect.name == "sqlite" else f"CAST({_FACTS} AS json)"
    facts, data = json.replace("{}", "{{}}").format(), json.replace("{}", _DATA.replace(":", "\\:"))
    numbers = "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS integer) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
    for table, columns, values in (
        (
            "deliveries",
            "id, source_id, received_at, verdict, proven, peer, path, headers, nonce, body, body_bytes, body_sha256",
            (
                f"'dlv_' || {key}, {source}, {time}, 'accepted', true, '192.0.2.1', '/webhooks/bcb', {facts}, "
                f"'n-' || n.i, {spelling['blob']}, 232, {digest}"
            ),
        ),
        (
            "events",
            (
                "id, source_id, delivery_id, identity, content_sha256, type, kind, subject, payment_id, "
                "claimed_status, amount, currency, facts, proof, proof_key, conflict, late, received_at, payload_sha256"
            ),
            (
                f"'evt_' || {key}, {source}, 'dlv_' || {key}, {spelling['blob']}, {digest}, {kind}, 'payment', "
                f"{_PAYMENT}, {_PAYMENT}, 'completed', {_AMOUNT}, {_CURRENCY}, {said}, 'signature', 'secret:1', "
                f"n.i % 5000 = 17, n.i % 20000 = 3, {time}, {digest}"
            ),
        ),
        (
            "feed_entries",
            "position, outbox_id, type, source_id, subject, time, event_id, data",
            f"n.i, n.i, {kind}, {source}, {_PAYMENT}, {time}, 'evt_' || {key}, {data}",
        ),
        (
            "subjects",
            (
                "id, source_id, kind, subject, status, agreement, claimed_status, amount, currency, last_event_id, "
                "created_at, updated_at, due_at, attempts"
            ),
            (
                f"n.i, {source}, CASE WHEN n.i % 50 = 9 THEN 'job' ELSE 'payment' END, 'FT' || n.i, "
                "CASE WHEN n.i / 3 % 1000 = 5 THEN 'rejected' WHEN n.i / 3 % 10 = 3 THEN 'pending' "
                "ELSE 'completed' END, "
                "CASE WHEN n.i / 11 % 1000 = 5 THEN 'contradicted' WHEN n.i / 11 % 10 = 3 THEN 'unconfirmed' "
                f"ELSE 'confirmed' END, 'completed', '1000.00', 'USD', 'evt_' || {key}, {time}, {time}, "
                f"CASE WHEN n.i / 3 % 10 = 3 THEN {time} ELSE NULL END, 1"
            ),
        ),
        (
            "checks",
            "subject_id, at, outcome, bank_status, detail",
            f"n.i, {time}, 'confirmed', 'Completed', {facts}",
        ),
    ):
        statement = f"INSERT INTO {table} ({columns}) {numbers} SELECT {values} FROM n"  # noqa: S608 - all our own
        connection.execute(text(statement), {"first": first, "last": last})
    connection.execute(text("UPDATE feed_head SET position = :last"), {"last": last})
    # As if they had been there before there was an index: `index` makes one.
    connection.execute(text("UPDATE search_progress SET through = :last, below = :last + 1"), {"last": last})
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT setval(pg_get_serial_sequence('subjects', 'id'), :last)"), {"last": last})
