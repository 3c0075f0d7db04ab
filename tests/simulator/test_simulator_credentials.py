"""The bank's credentials API: secrets shown once, stored answers by key, old secrets dead at once."""

import threading
import uuid
from typing import Any

import pytest
import requests
from simulator.callers import Caller


def change(
    caller: Caller,
    method: str = "PATCH",
    path: str = "/v1/credentials/simulator-client",
    key: str | None = None,
    token: str | None = None,
    **more: Any,
) -> requests.Response:
    if caller.token is None:
        caller.sign_in()
    headers = {"Authorization": f"Bearer {token or caller.token}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return caller.request(method, path, headers=headers, **more)


def done(caller: Caller) -> Any:
    return caller.control("/credentials", method="GET")


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def test_it_rotates_both_secrets_and_the_old_ones_die_at_once(caller: Caller, key: str) -> None:
    before = caller.simulator.bank.client
    shown = change(caller, key=key).json()

    after = caller.simulator.bank.client
    assert shown == {
        "clientId": "simulator-client",
        "clientSecret": after.client_secret,
        "isActive": True,
        "allowedIps": None,
        "messageSigningSecret": after.signing_secret,
    }
    assert {after.client_secret, after.signing_secret}.isdisjoint({before.client_secret, before.signing_secret})
    assert caller.sign_in().status_code == 401
    assert caller.sign_in(after.client_secret).status_code == 200


def test_it_gives_the_stored_answer_to_the_same_key(caller: Caller, key: str) -> None:
    first = change(caller, key=key)
    repeated = change(caller, key=key)

    assert (repeated.status_code, repeated.json()) == (200, first.json())
    assert done(caller)["rotated"] == 1


def test_it_does_something_once_for_the_same_key_at_the_same_moment(caller: Caller, key: str) -> None:
    caller.sign_in()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(change(caller, key=key).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert done(caller)["rotated"] == 1


@pytest.mark.parametrize(
    ("old_tokens", "stored_answer", "anything_else"),
    [("stored-answer", 200, 401), ("kept", 200, 200), ("revoked", 401, 401)],
)
def test_a_token_from_before_a_rotation_is_good_for_what_it_was_told(
    caller: Caller, key: str, old_tokens: str, stored_answer: int, anything_else: int
) -> None:
    caller.control("/old-tokens", {"oldTokens": old_tokens}, "PUT")
    change(caller, key=key)

    assert change(caller, key=key).status_code == stored_answer
    assert caller.bank("/v1/system/time").status_code == anything_else
    assert change(caller, key=str(uuid.uuid4())).status_code == anything_else


def test_it_makes_a_new_client_beside_the_old_one(caller: Caller, key: str) -> None:
    answer = change(caller, "POST", "/v1/credentials", key, json={"allowedIps": "127.0.0.1"})
    shown = answer.json()

    assert (answer.status_code, shown["allowedIps"]) == (201, "127.0.0.1")
    body = {"clientId": shown["clientId"], "clientSecret": shown["clientSecret"]}
    assert caller.request("POST", "/auth/token", json=body).status_code == 200
    assert caller.sign_in().status_code == 200
    assert change(caller, "POST", "/v1/credentials", key).json() == shown
    assert [client["clientId"] for client in done(caller)["clients"]] == ["simulator-client", shown["clientId"]]


@pytest.mark.parametrize("allowed", ["", "*", None])
def test_no_list_of_addresses_means_all(caller: Caller, allowed: object) -> None:
    shown = change(caller, "POST", "/v1/credentials", json={"allowedIps": allowed}).json()

    assert caller.simulator.bank.clients[shown["clientId"]].admits("192.0.2.1")


@pytest.mark.parametrize("allowed", ["nowhere", 7, "1.2.3.4,,"])
def test_it_refuses_a_list_of_addresses_that_is_none(caller: Caller, allowed: object) -> None:
    assert change(caller, "POST", "/v1/credentials", json={"allowedIps": allowed}).status_code == 400


def test_it_disables_a_client_as_often_as_it_is_asked(caller: Caller) -> None:
    made = change(caller, "POST", "/v1/credentials").json()
    path = f"/v1/credentials/{made['clientId']}"
    for _ in range(2):
        shown = change(caller, "DELETE", path).json()
        assert (shown["isActive"], shown["clientSecret"], shown["messageSigningSecret"]) == (False, "", None)

    assert done(caller)["disabled"] == 1
    assert change(caller, "PATCH", path).status_code == 409


def test_a_disabled_client_gets_no_token_and_its_own_are_worthless(caller: Caller) -> None:
    change(caller, "DELETE")

    assert caller.bank("/v1/system/time").status_code == 401
    assert caller.sign_in("").status_code == 401


def test_it_lists_permissions_in_order(caller: Caller) -> None:
    caller.control("/permissions", {"permissions": ["manage-credentials", "get-account"]}, "PUT")

    listed = caller.bank("/v1/credentials/simulator-client/permissions").json()
    assert [entry["key"] for entry in listed] == ["get-account", "manage-credentials"]
    assert all(entry["description"] for entry in listed)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/credentials"),
        ("PATCH", "/v1/credentials/simulator-client"),
        ("DELETE", "/v1/credentials/simulator-client"),
        ("GET", "/v1/credentials/simulator-client/permissions"),
    ],
)
def test_every_call_needs_the_permission(caller: Caller, method: str, path: str) -> None:
    caller.control("/permissions", {"permissions": ["get-account"]}, "PUT")

    assert change(caller, method, path).status_code == 403
    assert done(caller)["rotated"] == 0


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_it_does_not_know_every_client(caller: Caller, method: str) -> None:
    assert change(caller, method, "/v1/credentials/nobody").status_code == 404


def test_it_refuses_a_key_that_is_no_uuid(caller: Caller) -> None:
    assert change(caller, key="once").status_code == 400


def test_it_keeps_no_answer_to_a_refusal(caller: Caller, key: str) -> None:
    caller.control("/permissions", {"permissions": []}, "PUT")
    assert change(caller, key=key).status_code == 403
    caller.control("/permissions", {"permissions": ["manage-credentials"]}, "PUT")
    caller.sign_in()

    assert change(caller, key=key).status_code == 200
