import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, get_args

import jwt
import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator.callers import BankCaller, FakeClock, Receiver, Start, StartBank, until

from receiver.simulator.banqup import Config, Simulator
from receiver.simulator.banqup.bank import EXAMPLE_SPACE, Category

TOKEN = "/oauth2/client_credential/gettoken"
POINTS = "/core/plugin/api/v1/extensionPoints"
LISTENERS = f"{POINTS}?namespace=com.unifiedpost.btx&name=messageListeners&version=1.0"
CREDENTIALS = {
    "grant_type": "client_credentials",
    "client_id": "simulator-client",
    "client_secret": "simulator-secret",
}


class Banqup(BankCaller[Simulator]):
    """Calls one simulator over TLS, with a token."""

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        return super().request(method, path, verify=str(self.simulator.ca), **more)

    def sign_in(self, path: str = TOKEN, **other: Any) -> requests.Response:
        return self.request("POST", path, data=CREDENTIALS | other)

    def bank(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        self.token = self.token or self.sign_in().json()["access_token"]
        return self.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **more)

    def payment(self, payment_id: str, space: str = EXAMPLE_SPACE) -> requests.Response:
        return self.bank(f"/payments/v1/spaces/{space}/payments/{payment_id}")


@pytest.fixture
def start(start_bank: StartBank) -> Start[Banqup]:
    def starter(*, sleep: Any = None, **options: Any) -> Banqup:
        return start_bank(Banqup, Simulator, Config(**options), sleep=sleep)

    return starter


@pytest.fixture
def bank(start: Start[Banqup]) -> Banqup:
    return start()


@pytest.fixture
def subscribed(start: Start[Banqup], receiver: Receiver) -> Banqup:
    return start(callback_url=receiver.url, sleep=lambda _: False)


def test_plain_http_never_works(bank: Banqup) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(bank.simulator.url.replace("https://", "http://"), timeout=60)


def test_a_token_tells_its_end_in_one_of_three_ways(bank: Banqup) -> None:
    forms = {}
    for expiry in ("expires_at", "expires_in", "jwt"):
        bank.change(expiry=expiry)
        forms[expiry] = bank.sign_in().json()

    assert forms["expires_at"]["expires_at"] == "2026-03-02T12:05:00Z"
    assert forms["expires_in"]["expires_in"] == 300
    assert set(forms["jwt"]) == {"access_token", "token_type"}
    claims = jwt.decode(forms["jwt"]["access_token"], options={"verify_signature": False})
    assert (claims["exp"], claims["appId"]) == (1772453100, "simulator-app")


@pytest.mark.parametrize(
    ("other", "status"),
    [({}, 200), ({"client_secret": "é"}, 401), ({"client_id": "x"}, 401), ({"grant_type": "x"}, 400)],
)
def test_it_wants_the_client_s_credentials(bank: Banqup, other: Any, status: int) -> None:
    assert bank.sign_in(**other).status_code == status


def test_it_wants_them_form_encoded(bank: Banqup) -> None:
    assert bank.request("POST", TOKEN, json=CREDENTIALS).status_code == 415


@pytest.mark.parametrize(
    ("served", "statuses"), [("both", [200, 200]), ("gettoken", [200, 404]), ("accesstoken", [404, 200])]
)
def test_the_path_of_the_token_is_an_option(bank: Banqup, served: str, statuses: list[int]) -> None:
    bank.change(token_path=served)

    assert [bank.sign_in(path).status_code for path in (TOKEN, "/accesstoken")] == statuses


def test_an_expired_token_is_401_in_a_problem_with_a_time(bank: Banqup, clock: FakeClock) -> None:
    bank.control("/payments/P1", method="PUT")
    assert bank.payment("P1").status_code == 200
    clock.advance(300)

    answer = bank.payment("P1")
    assert answer.status_code == 401
    assert parsedate_to_datetime(answer.json()["timestamp"]) == datetime(2026, 3, 2, 12, 5, tzinfo=UTC)


def test_an_error_s_time_may_be_iso_8601(bank: Banqup) -> None:
    bank.change(error_shape="iso")

    assert bank.request("GET", LISTENERS).json()["timestamp"] == "2026-03-02T12:00:00Z"


def test_what_the_app_may_not_see_is_403(bank: Banqup) -> None:
    bank.change(access="forbidden")

    assert bank.payment("P1").status_code == 403


@pytest.mark.parametrize(("empty", "text"), [("object", "{}"), ("list", "[]"), ("nothing", "")])
def test_without_the_whitelist_there_is_empty_data_and_no_error(bank: Banqup, empty: str, text: str) -> None:
    bank.control("/payments/P1", method="PUT")
    bank.change(access="not-whitelisted", empty=empty)

    answer = bank.payment("P1")
    assert (answer.status_code, answer.text) == (200, text)


def test_it_tells_a_payment_s_status_in_its_space(bank: Banqup, clock: FakeClock) -> None:
    script = [["RECEIVED", 1], ["PAID INFORMATIONAL", 1], ["FAILED"]]
    bank.control("/payments/P1", {"script": script, "reasons": ["INSUFFICIENT_FUNDS"]}, "PUT")
    seen = []
    for _ in range(3):
        seen.append(bank.payment("P1").json())
        clock.advance(1)

    assert [payment["status"]["payment"] for payment in seen] == ["RECEIVED", "PAID", "FAILED"]
    assert [payment.get("levelOfCertainty") for payment in seen] == [None, "INFORMATIONAL", None]
    assert seen[2]["status"]["reason"] == ["INSUFFICIENT_FUNDS"]
    assert seen[0]["status"]["auth"].startswith("PENDING:https://")
    assert bank.payment("P1", space="elsewhere").status_code == 404


def test_a_payment_s_status_may_be_plain(bank: Banqup) -> None:
    bank.control("/payments/P1", method="PUT")
    bank.change(status_form="plain")

    assert bank.payment("P1").json()["status"] == "RECEIVED"


def test_a_listener_is_registered_and_gets_the_messages_from_then_on(bank: Banqup, receiver: Receiver) -> None:
    (point,) = bank.bank(LISTENERS).json()
    answer = bank.bank(f"{POINTS}/{point['id']}/extensions", "POST", json={"basePath": receiver.url})
    bank.control("/messages")

    assert answer.status_code == 201
    assert bank.control("/extensions", method="GET")["listener"] == receiver.url
    assert receiver.received[0].path == "/webhooks/bcb/messages"


@pytest.mark.parametrize(("point", "body", "status"), [("none", {}, 404), (None, {"basePath": "here"}, 400)])
def test_it_registers_nothing_else(bank: Banqup, point: str | None, body: Any, status: int) -> None:
    point = point or bank.bank(LISTENERS).json()[0]["id"]

    assert bank.bank(f"{POINTS}/{point}/extensions", "POST", json=body).status_code == status


def test_another_extension_point_is_not_there(bank: Banqup) -> None:
    assert bank.bank(f"{POINTS}?name=other").json() == []


def test_each_change_of_status_is_told_in_a_message_with_an_id(
    subscribed: Banqup, receiver: Receiver, clock: FakeClock
) -> None:
    payment = subscribed.control("/payments")
    until(lambda: len(receiver.received) == 1)
    clock.advance(1)
    until(lambda: len(receiver.received) == 2)

    bodies = [json.loads(request.body) for request in receiver.received]
    assert [body["data"]["status"]["payment"] for body in bodies] == ["RECEIVED", "PAID"]
    assert {(body["category"], body["resourceId"]) for body in bodies} == {("payment", payment["paymentId"])}
    assert len({body["id"] for body in bodies}) == 2


def test_the_status_may_stand_at_the_top_of_a_message(subscribed: Banqup, receiver: Receiver) -> None:
    subscribed.change(status_in="top")
    subscribed.control("/payments/P1", method="PUT")
    subscribed.control("/messages", {"paymentId": "P1", "status": "PAID"})

    assert json.loads(receiver.received[0].body)["status"]["payment"] == "PAID"


@pytest.mark.parametrize("category", get_args(Category))
def test_a_message_of_every_category_can_be_sent(subscribed: Banqup, receiver: Receiver, category: str) -> None:
    subscribed.control("/messages", {"category": category, "fields": {"id": "M1", "audience": None}})

    body = json.loads(receiver.received[0].body)
    assert (body["id"], body["category"], body["audience"]) == ("M1", category, None)


def test_a_token_is_shown_in_a_header_where_there_is_one(subscribed: Banqup, receiver: Receiver) -> None:
    subscribed.control("/messages")
    subscribed.change(header_token="hush", token_header="x-listener")
    for variant in ("genuine", "forged", "no-token"):
        subscribed.control("/messages", {"variant": variant})

    shown = [request.headers.get("x-listener") for request in receiver.received]
    assert (shown[0], shown[1], shown[2] not in (None, "hush"), shown[3]) == (None, "hush", True, None)


def test_it_tries_again_until_any_2xx(subscribed: Banqup, receiver: Receiver) -> None:
    receiver.statuses += [500, 204]

    assert subscribed.control("/messages")["deliveries"][0]["accepted"] is True


NAMES = ["amount", "currency", "space", "reasons", "script", "tell", "category", "resourceId", "fields", "paymentId"]
NAMES += ["status", "variant", "delays", "copies", "headers", "active", "header_token", "access"]
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(), max_size=2)
ROUTES = [("POST", "/payments"), ("PUT", "/payments/P1"), ("POST", "/messages"), ("PUT", "/subscription")]
ROUTES += [("PATCH", "/options")]


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    simulator = Simulator(sleep=lambda _: True)
    yield simulator.app.test_client()
    simulator.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_control_input_gets_a_500(client: FlaskClient, route: tuple[str, str], body: Any) -> None:
    method, path = route

    assert client.open(f"/_simulator{path}", method=method, data=json.dumps(body)).status_code in (200, 202, 400)
