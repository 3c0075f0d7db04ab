import jwt
import pytest
from simulator.callers import Caller, FakeClock, Start


def test_it_issues_a_token_with_its_end_and_the_permissions(caller: Caller, clock: FakeClock) -> None:
    assert caller.sign_in().status_code == 200

    claims = jwt.decode(caller.token or "", options={"verify_signature": False})
    assert claims["exp"] == clock().timestamp() + 40 * 60
    assert "get-payment-status" in claims["permissions"]


@pytest.mark.parametrize("secret", ["wrong", "", "\ud800"])
def test_it_refuses_wrong_credentials(caller: Caller, secret: str) -> None:
    answer = caller.sign_in(secret)

    assert answer.status_code == 401
    assert answer.json() == {"error": "Unauthorized", "message": "Authentication failed"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b'{"clientId":1}', b"[" * 100_000, b"\xff", b"1e9999999999999999999"]
)
def test_it_answers_400_to_a_token_request_that_it_can_not_read(caller: Caller, body: bytes) -> None:
    assert caller.request("POST", "/auth/token", data=body).status_code == 400


def test_it_refuses_a_missing_and_an_unknown_token(caller: Caller) -> None:
    assert caller.request("GET", "/v1/accounts").status_code == 401
    caller.token = "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"
    assert caller.bank("/v1/accounts").status_code == 401


def test_it_refuses_an_expired_token(start: Start[Caller], clock: FakeClock) -> None:
    caller = start(token_lifetime_seconds=60)
    assert caller.bank("/v1/system/time").status_code == 200

    clock.advance(59)
    assert caller.bank("/v1/system/time").status_code == 200
    clock.advance(1)
    assert caller.bank("/v1/system/time").status_code == 401


def test_it_expires_all_tokens_on_demand(caller: Caller) -> None:
    caller.sign_in()
    assert caller.control("/tokens/expire") == {"expired": 1}

    assert caller.bank("/v1/accounts").status_code == 401
    caller.sign_in()
    assert caller.bank("/v1/accounts").status_code == 200


def test_it_gives_new_tokens_the_lifetime_that_it_was_told(caller: Caller, clock: FakeClock) -> None:
    caller.control("/token-lifetime", {"seconds": 5}, "PUT")
    caller.sign_in()

    assert jwt.decode(caller.token or "", options={"verify_signature": False})["exp"] == clock().timestamp() + 5
    clock.advance(5)
    assert caller.bank("/v1/accounts").status_code == 401


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("/v1/payments/FT1/status", "get-payment-status"),
        ("/v1/accounts", "get-all-accounts"),
        ("/v1/accounts/1046406142", "get-account"),
        ("/v1/accounts/1046406142/payments", "get-payment-status"),
        ("/v1/accounts/1046406142/transactions", "get-transactions"),
    ],
)
def test_it_answers_403_without_the_permission(start: Start[Caller], path: str, permission: str) -> None:
    caller = start(permissions=frozenset({"manage-credentials"}))

    answer = caller.bank(path)

    assert answer.status_code == 403
    assert permission in answer.json()["message"]


def test_it_keeps_the_permissions_of_a_token_that_is_out(caller: Caller) -> None:
    caller.sign_in()
    caller.control("/permissions", {"permissions": []}, "PUT")

    assert caller.bank("/v1/accounts").status_code == 200
    caller.sign_in()
    assert caller.bank("/v1/accounts").status_code == 403


@pytest.mark.parametrize(
    ("allowed", "status"), [("10.0.0.0/8, 192.0.2.1", 403), ("127.0.0.0/8", 200), ("*", 200), ("", 200)]
)
def test_it_lets_in_only_the_addresses_that_are_allowed(start: Start[Caller], allowed: str, status: int) -> None:
    assert start(allowed_ips=allowed).sign_in().status_code == status


def test_it_counts_requests_in_a_fixed_window(start: Start[Caller], clock: FakeClock) -> None:
    caller = start(rate_limit=3, token_lifetime_seconds=86400)
    caller.sign_in()
    clock.advance(600)
    assert [caller.bank("/v1/accounts").status_code for _ in range(4)] == [200, 200, 200, 429]

    clock.advance(3000.5)
    answer = caller.bank("/v1/accounts")
    assert answer.json()["retry_after"] == "10 minute(s)"
    assert answer.headers["Retry-After"] == "600"

    clock.advance(600)
    caller.sign_in()
    assert caller.bank("/v1/accounts").status_code == 200


def test_it_counts_nothing_where_the_limit_is_0(start: Start[Caller]) -> None:
    caller = start(rate_limit=0)

    assert {caller.bank("/v1/system/time").status_code for _ in range(310)} == {200}


def test_it_answers_429_after_300_requests(caller: Caller) -> None:
    assert {caller.bank("/v1/system/time").status_code for _ in range(300)} == {200}

    answer = caller.bank("/v1/system/time")
    assert answer.status_code == 429
    assert answer.json()["retry_after"] == "60 minute(s)"
    assert answer.headers["Retry-After"] == "3600"


def test_it_takes_another_limit_while_it_runs(caller: Caller) -> None:
    caller.sign_in()
    caller.control("/rate-limit", {"requests": 1, "seconds": 30}, "PUT")

    assert [caller.bank("/v1/accounts").status_code for _ in range(2)] == [200, 429]
    caller.control("/rate-limit", {"requests": 0}, "PUT")
    assert caller.bank("/v1/accounts").status_code == 200


def test_it_tells_the_time_with_its_offset(caller: Caller) -> None:
    assert caller.bank("/v1/system/time").json() == {"timestamp": "2026-03-02T12:00:00+00:00", "timeZone": "UTC"}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/nothing", 404), ("DELETE", "/v1/accounts", 405)])
def test_it_answers_unknown_paths_and_methods_in_json(caller: Caller, method: str, path: str, status: int) -> None:
    answer = caller.bank(path, method)

    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize(("shape", "body"), [("error", {"error": "Not found"}), ("string", "Payment not found")])
def test_it_can_put_all_errors_in_another_shape(start: Start[Caller], shape: str, body: object) -> None:
    assert start(error_shape=shape).bank("/v1/payments/FT1/status").json() == body


def test_it_keeps_subscriptions(caller: Caller) -> None:
    made = caller.bank(
        "/v1/notifications/subscriptions", "POST", json={"topic": "Deposits", "callbackUrl": "http://127.0.0.1:1/x"}
    )

    assert made.status_code == 201
    listed = caller.bank("/v1/notifications/subscriptions").json()["data"]
    assert listed == [made.json()]
    assert caller.bank(f"/v1/notifications/subscriptions/{made.json()['subscriptionId']}").json() == made.json()
