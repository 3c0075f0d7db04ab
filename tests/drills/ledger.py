"""What is there in the end, seen through the database and through the feed."""

from collections import Counter
from collections.abc import Sequence

import requests
from drills.senders import Sent
from sqlalchemy import select

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store.tables import Delivery, Event, Subject, table_of

_deliveries, _events, _subjects = (table_of(model) for model in (Delivery, Event, Subject))


def read_feed(url: str, token: dict[str, str], limit: int = 500) -> list[dict[str, object]]:
    """Follow the feed from its beginning to its end."""
    entries: list[dict[str, object]] = []
    query: dict[str, str | int] = {"limit": limit}
    while True:
        answer = requests.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        entries += page["data"]
        if not page["has_more"]:
            return entries
        query["after"] = page["next"]


def assert_each_once(parts: Runtime, results: Sequence[Sent], entries: Sequence[dict[str, object]]) -> int:
    """Every callback answered 2xx is there once, under the id it was answered with; return how many were doubled."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        stored = {row.id: row.subject for row in connection.execute(select(_events.c.id, _events.c.subject))}
        subjects = Counter(connection.execute(select(_subjects.c.subject)).scalars())
        deliveries = Counter(connection.execute(select(_deliveries.c.verdict)).scalars())
    expected = {f"FT{sent.number}": sent.events for sent in results}
    times = Counter(stored.values())
    doubled = sum(number - 1 for number in times.values())
    assert doubled == 0, [subject for subject, number in times.items() if number > 1]
    assert {subject: [event_id] for event_id, subject in stored.items()} == expected
    assert subjects == Counter(expected.keys())
    assert deliveries == Counter(accepted=len(expected))
    assert Counter(entry["eventid"] for entry in entries) == Counter(stored.keys())
    assert [entry["position"] for entry in entries] == list(range(1, len(stored) + 1))
    return doubled


def assert_whole(parts: Runtime) -> None:
    """The SQLite file is not damaged, and no row points to one that is gone."""
    if not parts.database.is_sqlite:
        return
    with parts.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
