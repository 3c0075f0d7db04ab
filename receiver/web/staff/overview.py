"""The staff pages' first page: sources, worker, exceptions and what is due, from `receiver.admin.health`."""

from flask import Response

from receiver.admin import health
from receiver.admin.sessions import Visitor
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.web.staff.page import Page
from receiver.web.staff.rendering import render

SERIES = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.LATE, Verdict.DUPLICATE)
"""In the order of the chart's colours: good, bad, warn, info."""


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
            series=[str(verdict) for verdict in SERIES],
            total=sum(sum(numbers) for _, numbers in minutes),
        )
