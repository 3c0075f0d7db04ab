"""The people who use these pages: who they are, what they may do, where they are signed in."""

from flask import Response

from receiver.admin import people as acts
from receiver.admin.sessions import Visitor
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web.staff.page import Page
from receiver.web.staff.rendering import render


class People:
    """The views of people."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @Page("GET /people", role=Role.ADMIN)
    def people(self, visitor: Visitor) -> Response:
        """List all people."""
        return render("people.html", "People", people=acts.listing(self._runtime), roles=list(Role), me=visitor.name)
