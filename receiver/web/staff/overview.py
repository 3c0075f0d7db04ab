"""The staff pages' first page: sources, worker, exceptions and what is due, from `receiver.admin.health`."""

from flask import Response

from receiver.admin import health
from receiver.admin.sessions import Visitor
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.web.staff.page import Page
from receiver.web.staff.rendering import render

SERIES = {
    Verdict.ACCEPTED: "accepted",
    Verdict.REJECTED: "rejected",
    Verdict.LATE: "late",
    # What comes again as it was leaves no row, unless its bank gives a delivery nothing of its own (a nonce).
    Verdict.DUPLICATE: "duplicate in a new delivery",
}
"""What is stored, as the chart names it, in the order of its colours: good, bad, warn, info."""


class Overview:
    """The view of the overview."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /overview")
    def overview(self, visitor: Visitor) -> Response:
        """Show how everything is just now."""
        found = health.overview(self._runtime)
        minutes = [
            (f"{minute.at:%H:%M}", [minute.numbers.get(verdict, 0) for verdict in SERIES]) for minute in found.minutes
        ]
        return render(
            "overview.html",
            "Overview",
            fragment="found",
            found=found,
            minutes=minutes,
            series=list(SERIES.values()),
            total=sum(sum(numbers) for _, numbers in minutes),
        )
