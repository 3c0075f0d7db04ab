import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from simulator.callers import Caller

from receiver.simulator.bcb import Config, Simulator

ROUTES = [
    ("PUT", "/payments/FT1"),
    ("POST", "/deposits"),
    ("PUT", "/job-plan"),
    ("PUT", "/jobs/J1"),
    ("POST", "/jobs/J1/webhook"),
    ("POST", "/rsa-key/rotate"),
    ("PUT", "/token-lifetime"),
    ("PUT", "/rate-limit"),
    ("PUT", "/permissions"),
    ("POST", "/faults"),
    ("POST", "/transactions"),
    ("PUT", "/clock"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 100_000, b'{"a":' * 100_000, b'{"no such field":1}']
)
def test_it_answers_400_to_what_it_can_not_read(caller: Caller, method: str, path: str, body: bytes) -> None:
    answer = caller.request(method, f"/_simulator{path}", data=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "bad_input"


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/deposits", {"transactionId": 7}, "transactionId"),
        ("POST", "/deposits", {"amount": 10}, "amount"),
        ("POST", "/deposits", {"amount": "-1"}, "amount"),
        ("POST", "/deposits", {"amount": "NaN"}, "amount"),
        ("POST", "/deposits", {"amount": "1e9"}, "amount"),
        ("POST", "/deposits", {"method": "md5"}, "method"),
        ("POST", "/deposits", {"variant": "odd"}, "variant"),
        ("POST", "/deposits", {"url": "nowhere"}, "url"),
        ("POST", "/deposits", {"url": "http://127.0.0.1:99999/"}, "url"),
        ("POST", "/deposits", {"url": "file:///etc/passwd"}, "url"),
        ("POST", "/deposits", {"signedPath": "x"}, "signedPath"),
        ("POST", "/deposits", {"contentEncoding": "br"}, "contentEncoding"),
        ("POST", "/deposits", {"customHeaders": {"X": "a\nb"}}, "customHeaders"),
        ("POST", "/deposits", {"delays": [-1]}, "delays"),
        ("POST", "/deposits", {"ageSeconds": float("inf")}, "ageSeconds"),
        ("POST", "/deposits", {"script": []}, "script"),
        ("POST", "/deposits", {"script": [["Pending", "soon"]]}, "script"),
        ("POST", "/deposits", {"script": [["Pending", float("nan")]]}, "script"),
        ("POST", "/deposits", {"scrpt": []}, "scrpt"),
        ("PUT", "/token-lifetime", {}, "seconds"),
        ("PUT", "/token-lifetime", {"seconds": -1}, "seconds"),
        ("PUT", "/token-lifetime", {"seconds": 10**400}, "seconds"),
        ("PUT", "/token-lifetime", {"seconds": True}, "seconds"),
        ("PUT", "/rate-limit", {"requests": 1.5}, "requests"),
        ("PUT", "/permissions", {"permissions": "all"}, "permissions"),
        ("PUT", "/jobs/J1", {"total": 1001}, "total"),
        ("PUT", "/jobs/J1", {"results": [{"httpStatus": "200"}]}, "results"),
        ("POST", "/faults", {}, "kind"),
        ("POST", "/faults", {"kind": "odd"}, "kind"),
        ("POST", "/faults", {"kind": "500", "count": -1}, "count"),
        ("POST", "/faults", {"kind": "500", "shape": "round"}, "shape"),
        ("POST", "/faults", {"kind": "500", "share": 0}, "share"),
        ("PUT", "/clock", {"now": "2026-03-02T12:00:00"}, "now"),
        ("PUT", "/clock", {"now": 7}, "now"),
        ("PUT", "/clock", {"speed": -1}, "speed"),
        ("PUT", "/clock", {"now": "8999-01-01T00:00:00Z", "forward": 1e8}, "forward"),
        ("POST", "/transactions", {"at": "0001-01-01T00:00:00Z"}, "at"),
    ],
)
def test_it_names_the_field_that_it_does_not_take(
    caller: Caller, method: str, path: str, body: Any, named: str
) -> None:
    answer = caller.request(method, f"/_simulator{path}", data=json.dumps(body))

    assert answer.status_code == 400
    assert answer.json()["error"] == "bad_input"
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("PUT", "/token-lifetime", {}, "seconds is missing"),
        ("PUT", "/token-lifetime", {"seconds": None}, "seconds is missing"),
        ("PUT", "/token-lifetime", {"seconds": "5"}, "seconds must be a number, not '5'"),
        ("PUT", "/token-lifetime", {"seconds": -1}, "seconds must be greater than or equal to 0, not '-1'"),
        ("PUT", "/old-tokens", {"oldTokens": "x"}, "oldTokens must be 'stored-answer', 'kept' or 'revoked', not 'x'"),
        (
            "POST",
            "/faults",
            {"kind": "500", "status": 200},
            "status must be that of an error, from 400 to 599, not '200'",
        ),
        ("POST", "/deposits", {"amount": "-1"}, "amount must be a decimal string such as \"1000.00\", not '-1'"),
        ("PUT", "/job-plan", {"scrpt": 1}, "unknown fields: 'scrpt'; known: failed, method, resultAsText, script"),
        ("PATCH", "/options", {"client_secret": "x"}, "fixed when the bank starts: client_secret"),
        ("PATCH", "/options", {"rate_limit": True}, "rate_limit must be a valid integer, not 'True'"),
    ],
)
def test_it_says_which_field_which_value_and_what_is_taken(
    caller: Caller, method: str, path: str, body: object, message: str
) -> None:
    answer = caller.request(method, f"/_simulator{path}", data=json.dumps(body))

    assert (answer.status_code, answer.json()) == (400, {"error": "bad_input", "message": message})


def test_it_never_shows_a_secret_that_it_does_not_take() -> None:
    with pytest.raises(ValueError, match="signing secret") as refused:
        Config(signing_secret="hush hush")

    assert "hush" not in str(refused.value)


def test_an_option_of_bcb_changes_while_it_runs(caller: Caller) -> None:
    shown = caller.change(error_shape="error", payment_script=[["Reversed"]])

    assert (shown["error_shape"], shown["payment_script"]) == ("error", [["Reversed", 0.0]])
    assert not {"client_secret", "signing_secret"} & set(shown)
    caller.control("/payments/FT1", method="PUT")
    assert caller.bank("/v1/payments/FT1/status").json()["status"] == "Reversed"
    assert caller.bank("/v1/payments/FT2/status").json() == {"error": "Not found"}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/deposits", 405)])
def test_it_answers_in_json_where_there_is_no_such_control_endpoint(
    caller: Caller, method: str, path: str, status: int
) -> None:
    answer = caller.request(method, f"/_simulator{path}")

    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
# Without `url`: an address that leads nowhere would be tried for real, and what is tested here is the reading.
NAMES = [
    *("transactionId", "account", "amount", "currency", "direction", "type", "details", "script", "method", "wait"),
    *("signedPath", "variant", "ageSeconds", "contentEncoding", "customHeaders", "freshEachTry", "delays", "failed"),
    *("resultAsText", "total", "results", "callbackUrl", "seconds", "requests", "permissions", "kind", "path"),
    *("count", "size", "shape", "retryAfter", "keepVersion", "at", "raw", "drop", "deny", "claimedAmount", "after"),
    *("share", "now", "forward", "speed"),
]
VALUES = JSON | st.sampled_from(
    [
        "2026-03-02T12:00:00Z",
        1e8,
        0.5,
        "1.00",
        "Credit",
        "hmac",
        "again",
        "forged",
        "500",
        [["Pending", 1], ["Completed"]],
    ]
)


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    simulator = Simulator(Config(callback_url=None), sleep=lambda _: True)
    yield simulator.app.test_client()
    simulator.stop()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
@example(route=("PUT", "/jobs/J1"), body={"results": [None]})
def test_no_control_input_gets_a_500(client: FlaskClient, route: tuple[str, str], body: dict[str, object]) -> None:
    method, path = route
    answer = client.open(f"/_simulator{path}", method=method, data=json.dumps(body))

    assert answer.status_code in (200, 202, 400, 404)
