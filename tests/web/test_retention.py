"""What was removed is 410 (Gone), and a reader of the feed is told what it would miss."""

import pytest
from conftest import StandingClock, make_token
from flask.testing import FlaskClient
from sqlalchemy import text
from store.made import delivery, event, record
from store.test_retention import DAY, run, stored_for

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import holds
from receiver.store.sources import SourceRecord


@pytest.fixture
def old(parts: Runtime, source: SourceRecord, clock: StandingClock) -> list[str]:
    """Three events of which all went that goes, and a fourth of today."""
    stored_for(parts, payload=1, feed=1, headers=1)
    made = [event(parts, f"FT{number}") for number in range(3)]
    for each in made:
        record(parts, delivery(parts, source), each)
    catch_up(parts.database)
    clock.forward(2 * DAY)
    run(parts)
    made.append(event(parts, "FT3"))
    record(parts, delivery(parts, source), made[-1])
    catch_up(parts.database)
    return [each.id for each in made]


def test_a_payload_that_is_gone_is_410_and_all_else_of_the_event_is_there(
    client: FlaskClient, token: dict[str, str], old: list[str]
) -> None:
    for ending in ("raw", "payload"):
        gone = client.get(f"/api/v1/events/{old[0]}/{ending}", headers=token)
        assert (gone.status_code, "is not stored any more" in gone.text) == (410, True)
    assert client.get(f"/api/v1/events/{old[3]}/raw", headers=token).status_code == 200
    shown = client.get(f"/api/v1/events/{old[0]}", headers=token).get_json()
    assert (shown["subject"], shown["on_hold"], len(shown["payload_sha256"])) == ("FT0", False, 64)


def test_the_list_says_what_is_on_hold(
    parts: Runtime, client: FlaskClient, token: dict[str, str], old: list[str], clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        holds.put(connection, old[1], "a court asks", "cli:ann", clock())
    listed = client.get("/api/v1/events", headers=token).get_json()["data"]
    assert [each["id"] for each in listed if each["on_hold"]] == [old[1]]
    searched = client.get("/api/v1/events?q=FT1", headers=token).get_json()["data"]
    assert [each["on_hold"] for each in searched] == [True]


def test_the_feed_begins_with_what_is_stored_and_older_cursors_are_410(
    parts: Runtime, client: FlaskClient, token: dict[str, str], source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, feed=1)
    beginning = client.get("/api/v1/feed", headers=token).get_json()["next"]
    for number in range(3):
        record(parts, delivery(parts, source), event(parts, f"FT{number}"))
    first = client.get(f"/api/v1/feed?after={beginning}&limit=1", headers=token).get_json()["next"]
    all_read = client.get("/api/v1/feed", headers=token).get_json()["next"]
    clock.forward(2 * DAY)
    record(parts, delivery(parts, source), event(parts, "FT9"))
    assert run(parts) == {"feed": 3}
    # One that was given out before anything came stands for all that came since.
    for cursor in (beginning, first):
        gone = client.get(f"/api/v1/feed?after={cursor}&wait=0", headers=token)
        assert gone.status_code == 410
        assert "all up to position 3 were removed" in gone.text
        assert "Begin anew" in gone.text
    for address in ("/api/v1/feed", f"/api/v1/feed?after={all_read}", "/api/v1/feed?limit=1"):
        page = client.get(address, headers=token).get_json()
        assert [entry["position"] for entry in page["data"]] == [4]
        assert client.get(f"/api/v1/feed?after={page['next']}", headers=token).status_code == 200


def test_a_new_consumer_begins_with_what_is_stored_and_an_idle_one_that_was_passed_is_told(
    parts: Runtime, client: FlaskClient, token: dict[str, str], old: list[str]
) -> None:
    assert old
    page = client.get("/api/v1/consumers/new/feed", headers=token).get_json()
    assert [entry["position"] for entry in page["data"]] == [4]
    with parts.database.write() as connection:
        connection.execute(text("UPDATE consumers SET position = 1"))
    gone = client.get("/api/v1/consumers/new/feed", headers=token)
    assert (gone.status_code, "`seek` to `beginning`" in gone.text) == (410, True)
    for to, status in (("2026-03-01T00:00:00Z", 410), ("beginning", 200), ("2026-03-06T12:00:00Z", 200)):
        moved = client.post("/api/v1/consumers/new/seek", headers=token, json={"to": to})
        assert moved.status_code == status, moved.text
    assert [e["position"] for e in client.get("/api/v1/consumers/new/feed", headers=token).get_json()["data"]] == [4]


def test_a_plan_of_a_replay_says_what_is_gone(client: FlaskClient, token: dict[str, str], old: list[str]) -> None:
    assert old
    asked = {"dry_run": True, "reason": "again"}
    plan = client.post("/api/v1/replays", headers=token, json=asked).get_json()
    assert plan["matched"] == 1
    (note,) = plan["notes"]
    assert note.startswith("Entries of the feed up to position 3 were removed for their age")
    later = asked | {"filter": {"received_after": "2026-03-06T12:00:00Z"}}
    assert client.post("/api/v1/replays", headers=token, json=later).get_json()["notes"] == []


def test_who_may_not_read_payloads_is_not_told_whether_they_are_there(
    parts: Runtime, client: FlaskClient, old: list[str]
) -> None:
    reader = make_token(parts, "events:read", name="reader")
    assert client.get(f"/api/v1/events/{old[0]}/raw", headers=reader).status_code == 403
    other = make_token(parts, "payloads:read", sources=("other",), name="other")
    assert client.get(f"/api/v1/events/{old[0]}/raw", headers=other).status_code == 404


def test_a_search_by_the_banks_answer_finds_events_whose_entries_are_gone(
    parts: Runtime, client: FlaskClient, token: dict[str, str], old: list[str]
) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE subjects SET agreement = 'contradicted' WHERE subject = 'FT1'"))
    found = client.get("/api/v1/events?agreement=contradicted", headers=token).get_json()["data"]
    assert [each["id"] for each in found] == [old[1]]
