"""Every answer in the tests of the web is held against the description of the API."""

from collections.abc import Iterator

import pytest
from flask import Flask, Response, request, request_finished
from web.described import faults


@pytest.fixture(autouse=True)
def _answers_are_as_described() -> Iterator[None]:
    found: list[str] = []

    def compare(sender: Flask, response: Response, **_: object) -> None:
        found.extend(faults(sender, request, response))

    with request_finished.connected_to(compare):
        yield
    assert found == []
