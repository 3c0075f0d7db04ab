from typing import Any

import pytest
import requests
from simulator.callers import Caller, Start

TIME = "/v1/system/time"


def add(caller: Caller, kind: str, **more: Any) -> Any:
    caller.sign_in()
    return caller.control("/faults", {"kind": kind, **more})


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("500", 500), ("503", 503), ("expired-token", 401)])
def test_it_answers_wrongly_once_and_then_rightly(caller: Caller, kind: str, status: int) -> None:
    add(caller, kind)

    assert [caller.bank(TIME).status_code for _ in range(2)] == [status, 200]


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("full", {"error": "Unauthorized", "message": "Authentication failed"}),
        ("error", {"error": "Unauthorized"}),
        ("string", "Authentication failed"),
    ],
)
def test_it_puts_the_error_in_the_shape_asked_for(caller: Caller, shape: str, body: Any) -> None:
    add(caller, "expired-token", shape=shape)

    assert caller.bank(TIME).json() == body


@pytest.mark.parametrize(
    ("form", "told", "header"),
    [("minutes", "2 minute(s)", "90"), ("iso", "2026-03-02T12:01:30+00:00", "90"), ("absent", None, None)],
)
def test_it_says_in_the_form_asked_for_when_to_come_back(
    caller: Caller, form: str, told: str | None, header: str | None
) -> None:
    add(caller, "429", seconds=90, retryAfter=form)

    answer = caller.bank(TIME)
    assert (answer.json().get("retry_after"), answer.headers.get("Retry-After")) == (told, header)


def test_it_tells_a_503_when_to_come_back_where_it_was_told(caller: Caller) -> None:
    add(caller, "503", seconds=7)

    assert caller.bank(TIME).headers["Retry-After"] == "7"


def test_it_spoils_only_the_paths_that_fit_and_only_so_often(caller: Caller) -> None:
    add(caller, "500", path="/v1/payments/*", count=2)

    assert caller.bank(TIME).status_code == 200
    assert [caller.bank("/v1/payments/FT1/status").status_code for _ in range(3)] == [500, 500, 404]


def test_it_spoils_for_as_long_as_it_is_told_to(caller: Caller) -> None:
    assert add(caller, "500", count=0) == {"faults": [{"kind": "500", "path": "*", "left": None}]}
    assert {caller.bank(TIME).status_code for _ in range(5)} == {500}

    caller.control("/faults", method="DELETE")
    assert caller.bank(TIME).status_code == 200


def test_it_never_spoils_the_control_endpoints(caller: Caller) -> None:
    add(caller, "500", count=0)

    assert caller.request("GET", "/_simulator/faults").status_code == 200


def test_it_answers_slowly(start: Start[Caller]) -> None:
    waits: list[float] = []
    caller = start(sleep=waits.append)
    add(caller, "slow", seconds=12.5)

    assert caller.bank(TIME).status_code == 200
    assert waits == [12.5]


def test_it_really_waits(caller: Caller) -> None:
    add(caller, "slow", seconds=0.3)

    assert caller.bank(TIME).elapsed.total_seconds() >= 0.3


def test_it_hangs_up_without_an_answer(caller: Caller) -> None:
    add(caller, "hang-up")

    with pytest.raises(requests.ConnectionError):
        caller.bank(TIME)
    assert caller.bank(TIME).status_code == 200


def test_it_cuts_an_answer_in_the_middle(caller: Caller) -> None:
    add(caller, "truncated")

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        caller.bank(TIME)
    assert caller.bank(TIME).status_code == 200


def test_it_answers_200_with_something_that_is_not_json(caller: Caller) -> None:
    add(caller, "not-json")

    answer = caller.bank(TIME)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_it_answers_with_as_many_bytes_as_asked_for(caller: Caller) -> None:
    add(caller, "huge", size=5_000_000)

    answer = caller.bank(TIME)
    assert len(answer.content) == 5_000_000
    assert set(answer.json()) == {"padding"}


def test_it_survives_a_caller_that_leaves_in_the_middle_of_a_huge_answer(caller: Caller) -> None:
    add(caller, "huge")

    answer = caller.bank(TIME, stream=True)
    answer.raw.read(100)
    answer.close()
    assert caller.bank(TIME).status_code == 200


def test_it_writes_down_what_it_was_asked_and_answered(caller: Caller) -> None:
    add(caller, "hang-up", path="/v1/accounts")
    caller.bank("/v1/payments/FT%201/status?x=1")
    with pytest.raises(requests.ConnectionError):
        caller.bank("/v1/accounts")

    listed = caller.control("/requests", method="GET")["requests"]
    assert [(entry["method"], entry["path"], entry["query"], entry["status"], entry["fault"]) for entry in listed] == [
        ("POST", "/auth/token", "", 200, None),
        ("GET", "/v1/payments/FT 1/status", "x=1", 404, None),
        ("GET", "/v1/accounts", "", None, "hang-up"),
    ]
    assert listed[0]["at"] == "2026-03-02T12:00:00+00:00"
    assert caller.control("/requests", method="DELETE") == {"requests": []}
