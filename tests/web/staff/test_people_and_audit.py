"""The pages of people, of one's own account, and of the audit log."""

import csv
import io
import json

import pytest
from flask import Flask
from sqlalchemy import text
from web.staff.signed_in import PASSWORD, add_person, message, send, sign_in, signed_in, token_of

from receiver.admin import audit, people
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.store.database import StoreUnavailable


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


def test_an_admin_looks_after_people(app: Flask, parts: Runtime) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    fields = {"name": "Bob", "role": "operator", "payloads": "yes", "password": PASSWORD}
    assert message(admin, send(admin, "/staff/people", "/staff/people", fields)) == "bob may sign in as operator."
    said = message(admin, send(admin, "/staff/people", "/staff/people", fields))
    assert said == "There is a person 'bob' already"
    bob = app.test_client()
    assert sign_in(bob, "bob").status_code == 303
    page = "/staff/people/bob"
    assert message(admin, send(admin, page, page, {"role": "approver"})) == "bob is approver now, and signs in anew."
    assert bob.get("/staff/audit").status_code == 303
    sign_in(bob, "bob")
    for act, fields, said in (
        ("sign-out", {}, "bob is signed out everywhere."),
        ("password", {"password": "another long password"}, "bob has a new password, and is signed out everywhere."),
        ("password", {"password": "short"}, "A password takes 12 characters or more, and up to 1024 bytes"),
        ("disable", {}, "bob is disabled, and signed out everywhere."),
        ("enable", {}, "bob may sign in."),
    ):
        assert message(admin, send(admin, page, f"{page}/{act}", fields)) == said
    assert bob.get("/staff/audit").status_code == 303
    assert sign_in(bob, "bob", "another long password").status_code == 303
    by_admin = [entry.what for entry in audit.listing(parts, limit=100) if entry.who == "staff:admin"]
    assert by_admin[:5] == [
        "staff.changed",
        "staff.disabled",
        "staff.password",
        "staff.sessions_ended",
        "staff.changed",
    ]


def test_the_pages_and_the_command_line_do_the_same(app: Flask, parts: Runtime) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    fields = {"name": "ann", "role": "viewer", "password": PASSWORD}
    send(admin, "/staff/people", "/staff/people", fields)
    people.add(parts, "cli:root", "bob", Role.VIEWER, password=PASSWORD)
    by_page, by_command = (person._replace(id=0, name="") for person in people.listing(parts)[1:])
    assert by_page == by_command


def test_the_page_of_a_form_that_failed_says_how_to_send_it_again(
    app: Flask, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    place = "/staff/people"
    wrong = {"role": "operator", "password": PASSWORD}
    token = token_of(admin.get(place), place)
    refused = admin.post(place, data={"form_token": token, **wrong})
    assert refused.status_code == 400
    assert "“name” is empty. To send it again, load the page of the form anew" in refused.text
    assert admin.post(place, data={"form_token": token, **wrong}).status_code == 403

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(people, "add", fail)
    failed = send(admin, place, place, {"name": "bob", **wrong})
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "5")
    assert "It may have been done or not: load the page of the form anew, look," in failed.text
    assert "anew" not in admin.get("/staff/nothing").text


def test_ones_own_page_changes_ones_own_password(app: Flask, parts: Runtime) -> None:
    viewer = signed_in(app, parts, Role.VIEWER)
    page = viewer.get("/staff/me").text
    assert "this one" in page
    fields = {"present_password": "wrong", "password": "another long password"}
    said = message(viewer, send(viewer, "/staff/me", "/staff/me/password", fields))
    assert said == "The present password is wrong."
    fields["present_password"] = PASSWORD
    assert send(viewer, "/staff/me", "/staff/me/password", fields).status_code == 303
    assert viewer.get("/staff/me").status_code == 303
    assert sign_in(viewer, "viewer", "another long password").status_code == 303


def test_nobody_changes_themselves_on_the_pages(app: Flask, parts: Runtime) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    for name in ("admin", "ADMIN"):
        page = admin.get(f"/staff/people/{name}").text
        assert "This is you" in page
        assert 'action="/staff/people/admin' not in page


def test_the_audit_log_is_filtered_and_its_address_holds_the_filter(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.VIEWER)
    for number in range(120):
        audit.note(parts, "cli:root", "database.backed_up", {"to": f"file {number}"})
    first = client.get("/staff/audit?what=database.backed_up").text
    assert first.count("<tr>") == 51
    assert "file 119" in first
    assert "file 69" not in first
    assert "staff.signed_in" not in first.partition("<tbody>")[2]
    older = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "what=database.backed_up" in older
    second = client.get(older).text
    assert "file 69" in second
    assert "file 119" not in second
    part = client.get("/staff/audit?who=nobody", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "nothing fits" in part
    assert client.get("/staff/audit?after=tomorrow").status_code == 400


def test_an_export_has_all_of_it_and_no_formula(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.VIEWER)
    for who in ("=HYPERLINK(1)", "@evil", "cli:root"):
        audit.note(parts, who, "payload.read", {"event": "evt_1"})
    rows = list(csv.DictReader(io.StringIO(client.get("/staff/audit/entries.csv?what=payload.read").text)))
    assert [row["who"] for row in rows] == ["cli:root", "'@evil", "'=HYPERLINK(1)"]
    answer = client.get("/staff/audit/export.jsonl")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.jsonl"'
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["entries"] == len(lines) - 1
    assert audit.verify(parts, lines[-1]["anchor"]).entries == len(lines) - 1


def test_the_log_is_verified_on_the_page(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.OPERATOR)
    add_person(parts, "bob")
    assert message(client, send(client, "/staff/audit", "/staff/audit/verify")).startswith(
        "The log is whole: 3 entries"
    )
    with parts.database.write() as connection:
        connection.execute(text("DROP TRIGGER audit_entries_refuse_update"))
        connection.execute(text("UPDATE audit_entries SET who = 'nobody' WHERE id = 2"))
    assert "does not fit" in message(client, send(client, "/staff/audit", "/staff/audit/verify"))
