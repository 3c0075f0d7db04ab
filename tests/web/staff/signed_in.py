"""People who are signed in, for tests of pages: a client with its own session, and forms as a browser sends them."""

import html
import re
from collections.abc import Mapping

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from receiver.admin import people
from receiver.model import Role
from receiver.runtime import Runtime

PASSWORD = "quite a long password"


def add_person(parts: Runtime, name: str, role: Role = Role.VIEWER, *, payloads: bool = False) -> None:
    """Add a person with the password of all tests."""
    people.add(parts, "cli:test", name, role, payloads=payloads, password=PASSWORD)


def token_of(page: TestResponse, action: str) -> str:
    """Return the token of the form on a page that is sent to `action`."""
    pattern = (
        rf'<form[^>]*action="{re.escape(html.escape(action))}"[^>]*>\s*<input[^>]*name="form_token" value="([^"]+)"'
    )
    found = re.search(pattern, page.text)
    assert found is not None, f"no form to {action} in {page.text}"
    return found[1]


def send(client: FlaskClient, page: str, action: str, fields: Mapping[str, object] | None = None) -> TestResponse:
    """Load a page, and send its form to `action` with these fields."""
    token = token_of(client.get(page), action)
    return client.post(action, data={"form_token": token, **(fields or {})})


def sign_in(client: FlaskClient, name: str, password: str = PASSWORD, **fields: str) -> TestResponse:
    """Sign in by the form."""
    return send(client, "/staff/sign-in", "/staff/sign-in", {"name": name, "password": password, **fields})


def signed_in(
    app: Flask, parts: Runtime, role: Role, *, payloads: bool = False, name: str | None = None
) -> FlaskClient:
    """Add a person, called as their role where nothing else is said, and return their browser."""
    name = name or str(role)
    add_person(parts, name, role, payloads=payloads)
    client = app.test_client()
    assert sign_in(client, name).status_code == 303
    return client


def message(client: FlaskClient, answered: TestResponse) -> str:
    """Follow a redirect, and return the message that the next page shows."""
    page = client.get(answered.headers["Location"])
    found = re.search(r'<p class="message [a-z]+" role="[a-z]+">(.*?)</p>', page.text, re.DOTALL)
    assert found is not None, page.text
    return html.unescape(found[1])
