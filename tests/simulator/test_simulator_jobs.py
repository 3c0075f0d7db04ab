import json
import time
from typing import Any

import pytest
import requests
from simulator.callers import Caller, FakeClock, Receiver, until

ITEMS = [{"currency": "USD", "accountHolderName": "A", "accountName": "A"}] * 3


def create(caller: Caller, **more: Any) -> requests.Response:
    return caller.bank("/v1/virtual-accounts", "POST", json={"items": ITEMS, **more})


def test_it_takes_virtual_accounts_as_a_pending_job(caller: Caller) -> None:
    answer = create(caller)

    job = answer.json()
    assert answer.status_code == 202
    assert job["status"] == "Pending"
    assert job["statusUrl"] == f"{caller.simulator.url}/v1/jobs/{job['jobId']}"
    assert job["resultUrl"] == f"{job['statusUrl']}/results"


def test_it_moves_a_job_to_its_end_and_lists_it_only_until_then(caller: Caller, clock: FakeClock) -> None:
    job_id = create(caller).json()["jobId"]

    def look() -> tuple[str, dict[str, int], int]:
        job = caller.bank(f"/v1/jobs/{job_id}").json()
        return job["jobStatus"], job["summary"], len(caller.bank("/v1/jobs").json()["data"])

    assert look() == ("Pending", {"total": 3, "completed": 0, "failed": 0}, 1)
    clock.advance(1)
    assert look() == ("InProgress", {"total": 3, "completed": 0, "failed": 0}, 1)
    assert caller.bank(f"/v1/jobs/{job_id}/results").json()["data"] == []
    clock.advance(1)
    assert look() == ("Completed", {"total": 3, "completed": 3, "failed": 0}, 0)
    assert caller.bank(f"/v1/jobs/{job_id}/results").json()["data"][0] == {
        "httpStatus": 201,
        "error": None,
        "resultJson": {"accountNumber": "2000000001"},
    }


def test_it_ends_a_job_with_errors_and_results_as_text_when_planned_so(caller: Caller) -> None:
    caller.control("/job-plan", {"script": [["CompletedWithErrors"]], "failed": 2, "resultAsText": True}, "PUT")
    job_id = create(caller).json()["jobId"]

    assert caller.bank(f"/v1/jobs/{job_id}").json()["summary"] == {"total": 3, "completed": 1, "failed": 2}
    results = caller.bank(f"/v1/jobs/{job_id}/results").json()["data"]
    assert [item["httpStatus"] for item in results] == [400, 400, 201]
    assert json.loads(results[2]["resultJson"]) == {"accountNumber": "2000000001"}


def test_it_completes_nothing_in_a_cancelled_job(caller: Caller) -> None:
    caller.control("/jobs/J1", {"script": [["Cancelled"]], "total": 4}, "PUT")

    job = caller.bank("/v1/jobs/J1").json()
    assert (job["jobStatus"], job["summary"]) == ("Cancelled", {"total": 4, "completed": 0, "failed": 0})
    assert caller.bank("/v1/jobs/J1/results").json()["data"] == []


def test_it_shows_the_results_that_it_was_given(caller: Caller) -> None:
    results: list[dict[str, Any]] = [
        {"httpStatus": 200, "error": None, "resultJson": {"a": [1, None]}},
        {"httpStatus": 400, "error": "no"},
    ]
    caller.control("/jobs/J1", {"script": [["CompletedWithErrors"]], "results": results}, "PUT")

    assert caller.bank("/v1/jobs/J1").json()["summary"] == {"total": 2, "completed": 1, "failed": 1}
    assert caller.bank("/v1/jobs/J1/results").json()["data"] == [results[0], {**results[1], "resultJson": None}]


def test_it_tells_the_callback_address_once_that_a_job_has_ended(
    caller: Caller, clock: FakeClock, receiver: Receiver
) -> None:
    create(caller, callbackUrl=receiver.url, customHeaders={"X-Tenant": "blue", "bcb-nonce": "mine"})
    assert receiver.received == []
    clock.advance(2)
    until(lambda: caller.control("/deliveries", method="GET")["deliveries"])
    time.sleep(0.1)

    [received] = receiver.received
    assert json.loads(received.body)["jobStatus"] == "Completed"
    assert json.loads(received.body)["eventType"] == "job.status"
    assert json.loads(received.body)["summary"] == {"total": 3, "completed": 3, "failed": 0}
    assert received.headers["X-Tenant"] == "blue"
    (nonce,) = received.headers.get_all("Bcb-Nonce", [])
    assert nonce != "mine"


def test_it_sends_a_job_webhook_on_demand_in_any_guise(caller: Caller, receiver: Receiver) -> None:
    caller.control("/jobs/J1", {"script": [["Pending"]], "method": "rsa"}, "PUT")

    sending = {"variant": "forged", "url": receiver.url, "customHeaders": {"X-A": "b"}}
    (sent,) = caller.control("/jobs/J1/webhook", sending)["deliveries"]

    assert (sent["status"], sent["variant"], json.loads(sent["sent"])["jobStatus"]) == (200, "forged", "Pending")
    assert receiver.received[0].headers["Bcb-Signature-Version"] == "rsa-v1"
    assert receiver.received[0].headers["X-A"] == "b"


def test_it_takes_one_creation_in_2_seconds(caller: Caller, clock: FakeClock) -> None:
    assert [create(caller).status_code for _ in range(2)] == [202, 429]
    clock.advance(2)
    assert create(caller).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{}] * 1001},
        {"items": ITEMS, "callbackUrl": "ftp://x"},
        {"items": ITEMS, "callbackUrl": "http://[x"},
        {"items": ITEMS, "callbackUrl": 1},
        {"items": ITEMS, "customHeaders": {f"X-{n}": "a" for n in range(11)}},
        {"items": ITEMS, "customHeaders": {"X" * 51: "a"}},
        {"items": ITEMS, "customHeaders": {"X": "a" * 501}},
        {"items": ITEMS, "customHeaders": {"X": "a\r\nY: b"}},
        {"items": ITEMS, "customHeaders": []},
    ],
)
def test_it_answers_400_to_virtual_accounts_beyond_the_sheet(caller: Caller, body: Any) -> None:
    assert caller.bank("/v1/virtual-accounts", "POST", json=body).status_code == 400


def test_it_answers_404_for_a_job_that_is_not_there(caller: Caller) -> None:
    assert caller.bank("/v1/jobs/J404").status_code == 404
    assert caller.bank("/v1/jobs/J404/results").status_code == 404
    assert caller.request("POST", "/_simulator/jobs/J404/webhook", json={}).status_code == 404
