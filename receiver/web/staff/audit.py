"""Who did what, why and when: the audit log, filtered, exported and verified."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from receiver.admin import audit as acts
from receiver.admin.audit import AuditFilter, AuditRecord
from receiver.admin.sessions import Visitor
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web.schemas import spreadsheet
from receiver.web.staff import lists
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import here, render, url

VERIFY_SECONDS = 20.0
"""Below what a request may take."""

COLUMNS = ("id", "at", "who", "what", "why", "about", "digest")


class Audit:
    """The views of the audit log."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @Page("GET /audit")
    def audit(self, visitor: Visitor) -> Response:
        """List entries, the newest first."""
        only, below = _asked(), lists.number("below")
        found = acts.listing(self._runtime, below=below, limit=lists.PAGE + 1, only=only)
        entries = found[: lists.PAGE]
        context: dict[str, Any] = {
            "entries": entries,
            "words": acts.words(self._runtime),
            "asked": request.args,
            "filters": _chips(),
            "first": here(below=None) if below is not None else None,
            "older": here(below=entries[-1].id) if len(found) > lists.PAGE else None,
        }
        return render("audit.html", "Audit", fragment="list", **context)

    @Page("GET /audit/entries.csv")
    def csv(self, visitor: Visitor) -> Response:
        """Export what the filters let through, as CSV for spreadsheets."""
        lines = _csv(acts.all_of(self._runtime, _asked()))
        return file_of(lines, "text/csv; charset=utf-8", "audit.csv")

    @Page("GET /audit/export.jsonl")
    def export(self, visitor: Visitor) -> Response:
        """Export the whole log, with the anchor to verify it by."""
        lines = (f"{json.dumps(line)}\n" for line in acts.export(self._runtime))
        return file_of(lines, "application/jsonl", "audit.jsonl")

    @Page("POST /audit/verify", role=Role.OPERATOR)
    def verify(self, visitor: Visitor) -> Response:
        """Check that no entry was changed, added or taken out."""
        return done(
            lambda: acts.verify_within(self._runtime, VERIFY_SECONDS),
            url("audit"),
            lambda state: (
                f"The log is whole: {state.entries} entries, each bound to the one before it. "
                f"The newest digest is {state.digest or 'none'}."
            ),
        )


def _asked() -> AuditFilter:
    """Return the filter that the address holds.

    Raises:
        Problem: 400, a time is none, or something is given twice.
    """
    return AuditFilter(lists.one("who") or None, lists.one("what") or None, lists.time("after"), lists.time("before"))


def _chips() -> list[tuple[str, str, str]]:
    names = ("who", "what", "after", "before")
    return [(name, request.args[name], here(**{name: None, "below": None})) for name in names if request.args.get(name)]


def _csv(entries: Iterator[AuditRecord]) -> Iterator[str]:
    yield spreadsheet.line(COLUMNS)
    for entry in entries:
        yield spreadsheet.line(getattr(entry, name) for name in COLUMNS)


def file_of(lines: Iterator[str], kind: str, name: str) -> Response:
    """Return a file that is made while it is sent; its first line before anything is, so that an error is still one."""
    first = next(lines, "")

    def content() -> Iterator[str]:
        yield first
        yield from lines

    return Response(content(), content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
