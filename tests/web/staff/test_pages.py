"""What holds for every staff page: its headers, its links, who may see it, and what it is without anything to show."""

import re
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from web.staff.signed_in import signed_in

from receiver import runtime
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web import create_app
from receiver.web.staff.page import page_of

POLICY = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    **dict.fromkeys(("script-src", "style-src", "img-src", "form-action", "connect-src"), "'self'"),
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


def lists(app: Flask) -> list[str]:
    """Every page that is reached without an id, and without a provider of identities."""
    rules = [
        rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/staff") and "GET" in (rule.methods or ())
    ]
    return sorted(rule.rule for rule in rules if not rule.arguments and "/openid" not in rule.rule)


def policy(header: str) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in header.split(";"))


def test_every_page_has_the_policy_and_nothing_inline(app: Flask, parts: Runtime) -> None:
    client = signed_in(app, parts, Role.ADMIN, payloads=True)
    for path in lists(app):
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer.text)
        assert policy(answer.headers["Content-Security-Policy"]) == POLICY
        assert (answer.headers["X-Frame-Options"], answer.headers["Cache-Control"]) == ("DENY", "no-store"), path
        assert not re.search(
            r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!www\.w3)", answer.text
        ), path


def test_nobody_sees_a_page_without_a_session(app: Flask, client: FlaskClient) -> None:
    for path in lists(app):
        if path not in ("/staff/", "/staff/sign-in"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Location"]) == (
                303,
                f"/staff/sign-in?next={quote(path, safe='')}",
            ), path


def test_every_route_is_for_who_is_signed_in_and_has_its_role(app: Flask, parts: Runtime) -> None:
    stranger = app.test_client()
    people = {role: signed_in(app, parts, role) for role in Role}
    is_checked = False
    for rule in app.url_map.iter_rules():
        page = page_of(app.view_functions[rule.endpoint])
        if page is None or page.is_open:
            continue
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        method = page.route.partition(" ")[0]
        assert stranger.open(path, method=method).headers["Location"].startswith("/staff/sign-in"), path
        for role, client in people.items():
            if not role.includes(page.role):
                answer = client.open(path, method=method)
                assert (answer.status_code, "This is for" in answer.text) == (403, True), (path, role)
                is_checked = True
            elif method == "POST":
                assert client.post(path).status_code == 403, "without a form token"
    assert is_checked


def test_every_link_carries_the_public_prefix(parts: Runtime) -> None:
    settings = parts.settings.model_copy(update={"public_path_prefix": "/bank"})
    app = create_app(runtime.Runtime(settings, parts.database, parts.encryption, parts.clock))
    asked = app.test_client().get("/staff/sign-in")
    assert "Path=/bank/staff;" in f"{asked.headers['Set-Cookie']};"
    links = re.findall(r'(?:href|src|action)="([^"]*)"', asked.text)
    assert {link for link in links if not link.startswith(("/bank/staff", "#"))} == set()
    assert app.test_client().get("/staff").headers["Location"] == "/bank/staff/sign-in"


def test_static_files_stay_with_the_browser_until_they_change(client: FlaskClient) -> None:
    page = client.get("/staff/sign-in").text
    for link in re.findall(r'(?:href|src)="(/staff/static/[^"]*)"', page):
        answer = client.get(link)
        assert (answer.status_code, "immutable" in answer.headers["Cache-Control"]) == (200, True), link
    assert client.get("/staff/static/000000000000/staff.css").status_code == 404


def test_an_error_is_a_page_too(client: FlaskClient) -> None:
    for method, path, status in (("GET", "/staff/nothing", 404), ("POST", "/staff/audit", 405)):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.mimetype) == (status, "text/html")
        assert policy(answer.headers["Content-Security-Policy"]) == POLICY
