"""From a list of events to a replay of those that were chosen, or of all that were found."""

import html
import re

import pytest
from bank import BankSigner
from flask import Flask
from web.staff.signed_in import signed_in
from web.staff.test_support_pages import told

from receiver.model import Role
from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


def test_all_that_a_search_finds_or_those_that_are_ticked_are_planned(
    app: Flask, parts: Runtime, bank: BankSigner, source: SourceRecord
) -> None:
    event_id = told(parts, bank)
    operator = signed_in(app, parts, Role.OPERATOR)
    asked = f"/staff/events?q=1000&source={source.name}&late=false&amount_min=0.0000001&received_after=2026-03-04T00:00"
    page = operator.get(asked).text
    assert f'name="event_id" value="{event_id}"' in page
    link = re.search(r'<a class="button" href="([^"]*)">Send all that were found', page)
    assert link is not None
    planned = operator.get(html.unescape(link[1]))
    assert (planned.status_code, planned.text.count('value="2026-03-04T00:00:00')) == (200, 1)
    assert 'name="amount_min" value="0.0000001"' in planned.text
    assert "takes" not in planned.text
    chosen = operator.get(f"/staff/replays/new?event_id={event_id}")
    assert (chosen.status_code, event_id in chosen.text) == (200, True)
    viewer = signed_in(app, parts, Role.VIEWER)
    assert "Send all" not in viewer.get(asked).text
