"""CSV for spreadsheets: what a cell holds is never run."""

import csv
import io
from datetime import UTC, datetime

import pytest

from receiver.web.schemas import spreadsheet


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "-", "+49 30 1234", "-1e5", "--1", "-.5", "-1\n"]
)
def test_what_a_spreadsheet_would_run_becomes_text(text: str) -> None:
    assert spreadsheet.cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "-1000.00", "0", "1000.00", "FT1", "a=b", "", "evt_1", "2026-03-04"])
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert spreadsheet.cell(text) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (True, "true"),
        (-7, "-7"),
        (datetime(2026, 3, 4, tzinfo=UTC), "2026-03-04T00:00:00.000000Z"),
        ({"a": ["=1"]}, '{"a": ["=1"]}'),
        ([], "[]"),
    ],
)
def test_what_is_no_text_is_written_as_json_would(value: object, written: str) -> None:
    assert spreadsheet.cell(value) == written


@pytest.mark.parametrize("text", ["a,b", 'say "x"', "two\nlines", "\ud7ff", "'"])
def test_a_cell_is_read_back_as_it_was(text: str) -> None:
    assert next(csv.reader(io.StringIO(spreadsheet.line([text, "next"]), newline=""))) == [text, "next"]
