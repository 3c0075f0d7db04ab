"""Every answer is held against the OpenAPI description: what is taken out of the description is reported."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import others
import pytest
import requests
from bank import BankSigner, deposit
from flask.testing import FlaskClient
from others import CONNECTPAY_ADDRESS, TOKEN
from servers import WebServer
from web.described import Document, described, watched

from receiver.runtime import Runtime

PATH = "/webhooks/{source}"


def responses(api: Document, path: str = PATH) -> Any:
    return api["paths"][path]["post"]["responses"]


def lies(change: Callable[[Document], Any]) -> Document:
    """The description, with a lie in it."""
    api = deepcopy(described())
    change(api)
    return api


def close_status(api: Document) -> None:
    """Leave `duplicate` out of what a callback may be answered."""
    reference = responses(api)["200"]["content"]["application/json"]["schema"]["$ref"]
    shape = api["components"]["schemas"][reference.rpartition("/")[2]]
    shape["properties"]["status"] = {"const": "accepted"}


LIES: dict[str, tuple[Callable[[Document], Any], str]] = {
    "a status": (lambda api: responses(api).pop("401"), "POST /webhooks/bcb answers 401, which is not described"),
    "a media type": (
        lambda api: responses(api)["401"].update(content={"application/json": {}}),
        "POST /webhooks/bcb answers 401 as application/problem+json, which is not described",
    ),
    "a header": (
        lambda api: responses(api)["401"].pop("headers"),
        "POST /webhooks/bcb answers 401 with WWW-Authenticate, which is not described",
    ),
    "a header too many": (
        lambda api: responses(api)["401"]["headers"].update({"Retry-After": {}}),
        "POST /webhooks/bcb answers 401 without Retry-After, which is described",
    ),
    "a field": (
        lambda api: api["components"]["schemas"]["Problem"]["properties"].pop("title"),
        "POST /webhooks/bcb answers 401: Additional properties are not allowed ('title' was unexpected) at []",
    ),
}


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_a_refused_callback_is_reported(client: FlaskClient, name: str) -> None:
    change, fault = LIES[name]
    with watched(lies(change)) as found:
        assert client.post("/webhooks/bcb", data=b"forged").status_code == 401
    assert found == [fault]


@pytest.mark.usefixtures("source")
def test_a_lie_about_a_callback_on_a_channel_is_reported(client: FlaskClient) -> None:
    with watched(lies(lambda api: responses(api, f"{PATH}/{{channel}}").pop("401"))) as found:
        client.post("/webhooks/bcb/some/channel", data=b"forged")
    assert found == ["POST /webhooks/bcb/some/channel answers 401, which is not described"]


@pytest.mark.usefixtures("source")
def test_a_lie_about_the_body_of_an_accepted_callback_is_reported(client: FlaskClient, bank: BankSigner) -> None:
    signed = bank.sign(deposit())
    with watched(lies(close_status)) as found:
        for status in ("accepted", "duplicate"):
            answer = client.post(signed.path, data=signed.body, headers=signed.headers)
            assert answer.json
            assert answer.json["status"] == status
    assert len(found) == 1
    assert "status" in found[0]


def test_a_lie_about_the_text_that_a_bank_waits_for_is_reported(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN)

    def change(api: Document) -> None:
        responses(api)["200"]["content"]["text/plain"]["schema"]["enum"] = ["THANKS"]

    with watched(lies(change)) as found:
        client.post(
            "/webhooks/connectpay",
            data=b"{}",
            headers={"X-ConnectPay-Token": TOKEN},
            environ_base={"REMOTE_ADDR": CONNECTPAY_ADDRESS},
        )
    assert len(found) == 1
    assert '"OK"' in found[0]


def test_a_lie_about_an_answer_of_the_api_is_reported(client: FlaskClient) -> None:
    with watched(lies(lambda api: api["paths"]["/api/v1/feed"]["get"]["responses"].pop("401"))) as found:
        client.get("/api/v1/feed")
    assert found == ["GET /api/v1/feed answers 401, which is not described"]


def test_an_answer_without_an_operation_must_be_a_problem_that_the_description_names(client: FlaskClient) -> None:
    with watched() as found:
        assert client.put("/webhooks/bcb").status_code == 405
        assert client.get("/nowhere").status_code == 404
    assert found == []
    with watched(lies(lambda api: api["components"]["schemas"]["Problem"]["properties"].pop("title"))) as found:
        client.put("/webhooks/bcb")
        client.get("/nowhere")
    assert len(found) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lie_about_what_a_real_server_answers_is_reported(server: WebServer) -> None:
    with watched(lies(lambda api: responses(api).pop("401"))) as found:
        assert requests.post(f"{server.url}/webhooks/bcb", data=b"forged", timeout=60).status_code == 401
    assert found == ["POST /webhooks/bcb answers 401, which is not described"]


def test_no_test_can_forget_it(request: pytest.FixtureRequest) -> None:
    assert "answers_are_as_described" in request.fixturenames
