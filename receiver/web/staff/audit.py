"""Who did what, why and when: the audit log."""

from flask import Response

from receiver.admin import audit as acts
from receiver.admin.sessions import Visitor
from receiver.runtime import Runtime
from receiver.web.staff.page import Page
from receiver.web.staff.rendering import render

PAGE = 50


class Audit:
    """The views of the audit log."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @Page("GET /audit")
    def audit(self, visitor: Visitor) -> Response:
        """List entries, the newest first."""
        return render("audit.html", "Audit", entries=acts.listing(self._runtime, limit=PAGE))
