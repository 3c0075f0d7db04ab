"""Lists as CSV (RFC 4180) for spreadsheets, none of whose cells a spreadsheet takes for a formula (CSV injection)."""

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime

from receiver.web.schemas.times import rfc3339

STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run as a formula, also where it is quoted; an apostrophe before it makes it text."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def line(values: Iterable[object]) -> str:
    """Write one line, with its end."""
    text = io.StringIO()
    csv.writer(text).writerow([cell(value) for value in values])
    return text.getvalue()


def cell(value: object) -> str:
    """Write one value: nothing for none, JSON for what has parts; a number stays one, a negative one too."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f"'{text}" if text.startswith(STARTS_FORMULA) and not _NUMBER.fullmatch(text) else text
