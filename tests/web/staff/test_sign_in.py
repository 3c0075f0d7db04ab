"""Signing in by the form, and what a stranger tries: each is refused."""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from conftest import StandingClock
from flask import Flask
from flask.testing import FlaskClient
from web.staff.signed_in import PASSWORD, add_person, message, send, sign_in, signed_in, token_of

from receiver import runtime
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web import create_app

FORM = "/staff/sign-in"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
def ann(parts: Runtime) -> None:
    add_person(parts, "ann", Role.ADMIN)


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie("staff-session", path="/staff")
    assert found is not None
    return found.value


@pytest.mark.usefixtures("ann")
def test_the_form_leads_to_where_one_wanted_to_go(client: FlaskClient) -> None:
    asked = client.get("/staff/audit?what=staff.added&who=a+b")
    assert asked.headers["Location"] == "/staff/sign-in?next=%2Fstaff%2Faudit%3Fwhat%3Dstaff.added%26who%3Da%2Bb"
    page = client.get(asked.headers["Location"])
    wanted = re.search(r'name="next" value="([^"]*)"', page.text)
    assert wanted is not None
    answer = sign_in(client, "ann", next=wanted[1].replace("&amp;", "&"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/audit?what=staff.added&who=a+b")
    assert client.get(answer.headers["Location"]).status_code == 200


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("name", ["FT a?b#c%d&e=f", "FT+1 ü", "100%25", "a/b", "A..B", "a//b", "a/..b/c.."])
def test_one_comes_back_to_a_page_whatever_its_name_is_made_of(client: FlaskClient, name: str) -> None:
    page = f"/staff/payments/bcb/{quote(name, safe='/&=+')}"
    asked = client.get(page)
    wanted = parse_qs(urlsplit(asked.headers["Location"]).query)["next"]
    assert sign_in(client, "ann", next=wanted[0]).headers["Location"] == page


@pytest.mark.usefixtures("ann")
def test_a_page_that_refreshes_by_itself_leads_to_the_sign_in_and_back(client: FlaskClient) -> None:
    shown = {"HX-Request": "true", "HX-Current-URL": "http://localhost/staff/events?q=a%3Fb&late=true"}
    answer = client.get("/staff/events?q=older", headers=shown)
    wanted = parse_qs(urlsplit(answer.headers["HX-Redirect"]).query)["next"]
    assert (answer.status_code, wanted) == (401, ["/staff/events?q=a%3Fb&late=true"])
    assert sign_in(client, "ann", next=wanted[0]).headers["Location"] == wanted[0]


@pytest.mark.parametrize(
    "shown",
    [
        *("https://evil.example/staff/events", "//evil.example/staff", "http://[::1", "http://localhost/docs", "x", ""),
        *("http://localhost/staff/../docs", "http://localhost/staff//evil.example", "javascript:alert(1)"),
    ],
)
def test_nobody_is_led_elsewhere_by_the_page_that_a_browser_says_it_shows(client: FlaskClient, shown: str) -> None:
    answer = client.get("/staff/events", headers={"HX-Request": "true", "HX-Current-URL": shown})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/staff/sign-in")


def test_without_people_the_form_says_how_the_first_is_made(client: FlaskClient, parts: Runtime) -> None:
    page = client.get(FORM).text
    assert 'name="password"' in page
    assert "receiver staff add NAME --role admin" in page
    add_person(parts, "ann")
    assert "receiver staff add" not in client.get(FORM).text


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/staff",
        "/\\evil.example",
        "/staff\\..\\evil",
        "/staff//evil.example",
        "/staff/../docs",
        "/staff/%2e%2E/docs",
        "/staff/events/.%2E",
        "/staff/events%2F..%2fdocs",
        "/staff/..?q=a",
        "/staffroom",
        "/staff/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "/staff/sign-out",
        "",
    ],
)
def test_next_leads_to_a_page_of_ours_alone(client: FlaskClient, elsewhere: str) -> None:
    assert sign_in(client, "ann", next=elsewhere).headers["Location"] == "/staff"


@pytest.mark.usefixtures("ann")
def test_a_wrong_name_and_a_wrong_password_are_answered_alike(client: FlaskClient) -> None:
    answers = [sign_in(client, "ann", "wrong password"), sign_in(client, "bob", "wrong password")]
    assert [answer.status_code for answer in answers] == [401, 401]
    said = [re.search(r'role="alert">([^<]*)<', answer.text) for answer in answers]
    assert [found and found[1] for found in said] == ["The name or the password is wrong."] * 2
    assert "wrong password" not in "".join(answer.text for answer in answers)


@pytest.mark.usefixtures("ann")
def test_signing_in_is_slowed(client: FlaskClient, clock: StandingClock) -> None:
    for _ in range(5):
        assert sign_in(client, "ann", "wrong password").status_code == 401
    answer = sign_in(client, "ann")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    clock.forward(2)
    assert sign_in(client, "ann").status_code == 303


@pytest.mark.usefixtures("ann")
def test_the_cookie_changes_when_one_signs_in_and_is_worth_nothing_afterwards(client: FlaskClient) -> None:
    client.get(FORM)
    before = cookie(client)
    sign_in(client, "ann")
    first = cookie(client)
    sign_in(client, "ann")
    second = cookie(client)
    assert len({before, first, second}) == 3
    for old in (before, first):
        client.set_cookie("staff-session", old, path="/staff")
        assert client.get("/staff/people").status_code == 303
    client.set_cookie("staff-session", second, path="/staff")
    assert message(client, send(client, "/staff/people", "/staff/sign-out")) == "You are signed out."
    client.set_cookie("staff-session", second, path="/staff")
    assert client.get("/staff/people").headers["Location"] == "/staff/sign-in?next=%2Fstaff%2Fpeople"


def test_a_form_takes_its_own_token_once(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.ADMIN)
    other = signed_in(app, parts, Role.ADMIN, name="other")
    fields = {"name": "bob", "role": "viewer", "password": PASSWORD}
    page = client.get("/staff/people")
    token, of_other_form = token_of(page, "/staff/people"), token_of(page, "/staff/sign-out")
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    before = app.test_client()
    before.get(FORM)
    refused = [
        client.post("/staff/people", data=fields),
        client.post("/staff/people", data={**fields, "form_token": ""}),
        client.post("/staff/people", data={**fields, "form_token": changed}),
        client.post("/staff/people", data={**fields, "form_token": of_other_form}),
        client.post("/staff/people", data={**fields, "form_token": [token, token]}),
        other.post("/staff/people", data={**fields, "form_token": token}),
        client.post("/staff/people", data={**fields, "form_token": token}, headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert {answer.status_code for answer in refused} <= {400, 403}
    assert "bob" not in client.get("/staff/people").text
    assert client.post("/staff/people", data={**fields, "form_token": token}).status_code == 303
    assert client.post("/staff/people", data={**fields, "name": "eve", "form_token": token}).status_code == 403
    assert before.post(FORM, data={"name": "admin", "password": PASSWORD, "form_token": token}).status_code == 403


def test_a_form_is_worth_nothing_once_the_session_is_over(app: Flask, parts: Runtime, clock: StandingClock) -> None:
    client = signed_in(app, parts, Role.ADMIN)
    token = token_of(client.get("/staff/people"), "/staff/people")
    clock.forward(1801)
    answer = client.post("/staff/people", data={"name": "bob", "form_token": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/sign-in")


def test_searching_as_one_types_is_a_use_of_the_session_and_a_page_that_refreshes_by_itself_is_none(
    app: Flask, parts: Runtime, clock: StandingClock
) -> None:
    typing, watching = signed_in(app, parts, Role.VIEWER), signed_in(app, parts, Role.OPERATOR)
    page = typing.get("/staff/events").text
    form = re.search(r"<form[^>]* hx-get=[^>]* hx-headers='([^']*)'", page)
    assert form is not None
    found = re.search(r'<div id="found"[^>]*hx-trigger="every[^>]*>', page)
    assert found is not None
    assert "hx-headers" not in found[0]
    by_itself = {"HX-Request": "true"}
    for _ in range(2):
        clock.forward(1000)
        assert typing.get("/staff/events?q=a", headers={**by_itself, **json.loads(form[1])}).status_code == 200
        last = watching.get("/staff/events?q=a", headers=by_itself).status_code
    assert last == 401
    assert typing.get("/staff/events").status_code == 200


def test_each_role_may_what_is_its_own(app: Flask, parts: Runtime) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    viewer, operator, approver = (signed_in(app, parts, role) for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER))
    assert admin.get("/staff/people").status_code == 200
    for client in (viewer, operator, approver):
        assert client.get("/staff/people").status_code == 403
        assert client.get("/staff/people/admin").status_code == 403
        assert client.get("/staff/audit").status_code == 200
        own = token_of(client.get("/staff/audit"), "/staff/sign-out")
        answer = client.post("/staff/people/admin/disable", data={"form_token": own})
        assert (answer.status_code, "This is for admins." in answer.text) == (403, True)
    assert "Verify" not in viewer.get("/staff/audit").text
    assert admin.get("/staff/people").status_code == 200


def test_a_part_of_a_page_leads_to_the_sign_in_as_a_whole(client: FlaskClient) -> None:
    answer = client.get("/staff/audit", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/staff/sign-in")


HTTPS: Mapping[str, str] = {"wsgi.url_scheme": "https", "HTTP_HOST": "bank.example", "REMOTE_ADDR": "203.0.113.9"}
BY_PROXY: Mapping[str, str] = {
    "HTTP_HOST": "bank.example",
    "REMOTE_ADDR": "10.1.2.3",
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    "HTTP_X_FORWARDED_PROTO": "https",
}
PLAIN: list[Mapping[str, str]] = [
    {"HTTP_HOST": "bank.example", "REMOTE_ADDR": "203.0.113.9"},
    {"HTTP_HOST": "bank.example", "REMOTE_ADDR": "127.0.0.1"},
    {"HTTP_HOST": "localhost", "REMOTE_ADDR": "203.0.113.9"},
    {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
    {**BY_PROXY, "REMOTE_ADDR": "192.168.1.1"},
    {**BY_PROXY, "HTTP_X_FORWARDED_PROTO": "http"},
]


@pytest.fixture
def behind_proxy(parts: Runtime) -> Flask:
    """The application that trusts 10.0.0.0/8."""
    changed = {"trusted_proxies": (ip_network("10.0.0.0/8"),), "public_path_prefix": "/bank"}
    settings = parts.settings.model_copy(update=changed)
    return create_app(runtime.Runtime(settings, parts.database, parts.encryption, parts.clock))


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("environ", [HTTPS, BY_PROXY])
def test_over_https_the_cookie_is_bound_to_it(behind_proxy: Flask, environ: Mapping[str, str]) -> None:
    client = behind_proxy.test_client()
    page = client.get(FORM, environ_overrides=dict(environ), base_url="https://bank.example")
    header = page.headers["Set-Cookie"]
    assert header.startswith("__Host-staff-bank-session=")
    assert {part.strip() for part in header.split(";")[1:]} == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
    data = {"name": "ann", "password": PASSWORD, "form_token": token_of(page, "/bank/staff/sign-in")}
    answer = client.post(FORM, data=data, environ_overrides=dict(environ), base_url="https://bank.example")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/bank/staff")


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("environ", PLAIN)
def test_over_plain_http_from_elsewhere_nobody_signs_in(behind_proxy: Flask, environ: Mapping[str, str]) -> None:
    client = behind_proxy.test_client(use_cookies=False)
    page = client.get(FORM, environ_overrides=dict(environ))
    assert "Set-Cookie" not in page.headers
    assert "Over plain HTTP nobody signs in" in page.text
    data = {"name": "ann", "password": PASSWORD, "form_token": token_of(page, "/bank/staff/sign-in")}
    answer = client.post(FORM, data=data, environ_overrides=dict(environ))
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


def test_a_form_that_is_too_large_is_not_read(client: FlaskClient) -> None:
    assert client.post(FORM, data={"name": "x" * 20000}).status_code == 413


def test_no_answer_of_the_pages_gives_away_a_stored_script(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.ADMIN)
    for path in ('/staff/audit?who=<script>alert(1)</script>&what="><img src=x onerror=alert(1)>', "/staff/people/<b>"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>&lt;" in page or "<b>" not in page
