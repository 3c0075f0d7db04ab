"""Signing in by an OpenID Connect provider on loopback: whom it vouches for, and what is refused."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from conftest import KEY, StandingClock
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient
from pydantic import ValidationError
from web.staff.provider import CLIENT, SECRET, Provider, running
from web.staff.signed_in import PASSWORD, add_person, message, send, signed_in
from werkzeug.test import TestResponse

from receiver.admin import audit, people, sessions
from receiver.model import NotPossible, Role
from receiver.runtime import Runtime
from receiver.settings import Settings

OIDC: dict[str, Any] = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
def provider(clock: StandingClock) -> Iterator[Provider]:
    with running(clock) as started:
        yield started


@pytest.fixture
def settings(database_url: str, provider: Provider) -> Settings:
    roles = "payment-support=operator,payment-leads=approver,fraud=payloads"
    given: dict[str, Any] = {"oidc_issuer": provider.issuer, "oidc_roles": roles, "oidc_role_claim": "groups", **OIDC}
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url, **given)


@pytest.fixture(autouse=True)
def groups(provider: Provider) -> None:
    provider.claims["groups"] = ["payment-support", "others"]


def come_back(client: FlaskClient, asked: str = "/staff/sign-in/openid?next=/staff/me") -> TestResponse:
    """Go to the provider, and come back from it."""
    sent = client.get(asked)
    assert sent.status_code == 303, sent.text
    returned = requests.get(sent.headers["Location"], allow_redirects=False, timeout=10).headers["Location"]
    assert returned.startswith("http://localhost/staff/sign-in/openid/back?")
    return client.get(urlsplit(returned).path + "?" + urlsplit(returned).query)


def visitor(client: FlaskClient, parts: Runtime) -> sessions.Visitor | None:
    cookie = client.get_cookie("staff-session", path="/staff")
    return None if cookie is None else sessions.visitor(parts, cookie.value)


def test_whom_the_provider_vouches_for_is_signed_in_with_the_role_of_the_claim(
    client: FlaskClient, parts: Runtime, provider: Provider
) -> None:
    assert "Sign in by 127.0.0.1" in client.get("/staff/sign-in").text
    assert come_back(client).headers["Location"] == "/staff/me"
    found = visitor(client, parts)
    assert found is not None
    assert (found.name, found.role, found.payloads) == ("ann", Role.OPERATOR, False)
    assert "Change password" not in client.get("/staff/me").text
    other = client.application.test_client()
    provider.claims["groups"] = ["payment-leads", "fraud"]
    come_back(other)
    changed = visitor(other, parts)
    assert changed is not None
    assert (changed.user_id, changed.role, changed.payloads) == (found.user_id, Role.APPROVER, True)
    assert visitor(client, parts) is None
    noted = [(entry.who, entry.what) for entry in audit.listing(parts, limit=9)][::-1]
    by_ann = ("staff:ann", "staff.signed_in")
    assert noted == [("oidc", "staff.added"), by_ann, ("oidc", "staff.changed"), by_ann]


def test_nobody_is_let_in_without_a_role_or_where_they_are_disabled_or_under_anothers_name(
    client: FlaskClient, parts: Runtime, provider: Provider
) -> None:
    provider.claims["groups"] = "others"
    assert "no role here" in message(client, come_back(client))
    provider.claims["groups"] = "payment-support"
    add_person(parts, "bob")
    provider.claims["preferred_username"] = "bob"
    assert "another person bob" in message(client, come_back(client))
    provider.claims["preferred_username"] = "ann"
    come_back(client)
    people.disable(parts, "cli:root", "ann")
    assert "disabled" in message(client, come_back(client))
    assert [person.name for person in people.listing(parts)] == ["ann", "bob"]


def test_what_somebody_may_do_is_changed_at_the_provider_alone(
    client: FlaskClient, parts: Runtime, provider: Provider
) -> None:
    come_back(client)
    changes: list[dict[str, Any]] = [{"role": Role.ADMIN}, {"payloads": True}, {"role": Role.OPERATOR, "enable": True}]
    for changed in changes:
        with pytest.raises(NotPossible, match=r"is said by http://127\.0\.0\.1"):
            people.change(parts, "cli:root", "ann", **changed)
    assert visitor(client, parts) is not None
    admin = signed_in(client.application, parts, Role.ADMIN)
    page = admin.get("/staff/people/ann").text
    assert "it is changed there" in page
    assert "Change role" not in page
    assert message(admin, send(admin, "/staff/people/ann", "/staff/people/ann/disable")).startswith("ann is disabled")
    people.change(parts, "cli:root", "ann", enable=True)
    provider.claims["groups"] = "payment-leads"
    come_back(client)
    assert people.find(parts, "ann").role == Role.APPROVER


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "http://127.0.0.1:1"},
        {"aud": "another-app"},
        {"azp": "another-app"},
        {"nonce": "another"},
        {"exp": 1},
        {"iat": 99999999999},
    ],
)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    client: FlaskClient, parts: Runtime, provider: Provider, wrong: dict[str, object]
) -> None:
    provider.claims |= wrong
    assert message(client, come_back(client)) == "The provider's answer is not taken: sign in anew."
    assert people.listing(parts) == []


@pytest.mark.parametrize("algorithm", ["RS256", "HS512", "none"])
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    client: FlaskClient, parts: Runtime, provider: Provider, algorithm: str
) -> None:
    provider.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    provider.algorithm = algorithm
    assert message(client, come_back(client)) == "The provider's answer is not taken: sign in anew."
    assert people.listing(parts) == []


def test_a_new_key_of_the_provider_is_fetched(client: FlaskClient, parts: Runtime, provider: Provider) -> None:
    come_back(client)
    provider.key = provider.published = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    parts.clock.forward(3601)  # type: ignore[attr-defined]
    assert come_back(client).headers["Location"] == "/staff/me"


def test_what_was_not_begun_in_this_browser_is_refused(client: FlaskClient) -> None:
    sent = client.get("/staff/sign-in/openid").headers["Location"]
    returned = requests.get(sent, allow_redirects=False, timeout=10).headers["Location"]
    path = f"{urlsplit(returned).path}?{urlsplit(returned).query}"
    assert client.application.test_client().get(path).status_code == 403
    assert client.get("/staff/sign-in/openid/back?code=x&state=y").status_code == 403
    assert client.get(path).status_code == 303
    assert client.get(path).status_code == 403


def test_a_password_lets_nobody_in_whom_a_provider_vouches_for(client: FlaskClient, parts: Runtime) -> None:
    come_back(client)
    with pytest.raises(NotPossible):
        people.set_password(parts, "cli:root", "ann", PASSWORD)


def test_settings_go_together_and_name_roles_that_there_are(provider: Provider) -> None:
    wrong: list[dict[str, Any]] = [
        {"oidc_issuer": provider.issuer},
        OIDC,
        {"oidc_issuer": "http://provider.example", **OIDC},
        {"oidc_issuer": provider.issuer, "oidc_roles": "leads=boss", **OIDC},
    ]
    for given in wrong:
        with pytest.raises(ValidationError):
            Settings(_env_file=None, secret_keys=KEY, **given)
