"""What BCB's API tells of a background job and its items."""

from datetime import UTC, datetime
from typing import Any

import pytest
from answering import answering

from receiver import banks
from receiver.banks.http import HttpClient

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def detail_of(items: list[Any], **spelt: Any) -> Any:
    """What is known of a job whose results are these."""
    with answering() as api:
        paging = {"pagination": {"total_size": len(items), "page_size": 1000}}
        api.answer = spelt or {"jobStatus": "Completed", "data": items}
        api.answer |= {"meta": paging}
        client = HttpClient(api.url, clock=lambda: NOW, token="t")
        return banks.named("bcb").ask(client, "job", "J1", {}).detail


@pytest.mark.parametrize(
    ("item", "status", "http_status"),
    [
        ({"httpStatus": 200}, "completed", 200),
        ({"httpStatus": "201"}, "completed", 201),
        ({"HttpStatus": 200}, "completed", 200),
        ({"HTTPSTATUS": "200", "Error": None}, "completed", 200),
        ({"httpStatus": 400}, "failed", 400),
        ({"HttpStatus": "400", "Error": "no"}, "failed", 400),
        ({"Error": "no"}, "failed", None),
        ({"httpStatus": "OK"}, "unknown", None),
        ({"httpStatus": [200]}, "unknown", None),
        ({"httpStatus": "9" * 5000}, "unknown", None),
        ({"httpStatus": True}, "unknown", None),
        ({}, "unknown", None),
    ],
)
def test_an_item_has_failed_only_where_its_result_says_so(
    item: dict[str, Any], status: str, http_status: int | None
) -> None:
    detail = detail_of([item])
    assert [(each["status"], each["http_status"]) for each in detail["each_item"]] == [(status, http_status)]
    assert (detail["items"], detail["failed"]) == (1, int(status == "failed"))


def test_results_are_read_in_either_spelling() -> None:
    items = [{"HttpStatus": 400, "Error": "no", "ResultJson": '{"a":1}'}]
    detail = detail_of(items, JobStatus="Completed", Data=items)
    assert detail["each_item"] == [
        {"index": 0, "status": "failed", "http_status": 400, "error": "no", "result": {"a": 1}}
    ]
