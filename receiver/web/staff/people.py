"""The people who use these pages: who they are, what they may do, where they are signed in; and one's own account."""

from typing import Any

from flask import Response

from receiver.admin import people as acts
from receiver.admin import sign_in
from receiver.admin.sessions import Visitor
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web.problems import Problem
from receiver.web.staff.forms import field, password
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url


class People:
    """The views of people."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @Page("GET /people", role=Role.ADMIN)
    def people(self, visitor: Visitor) -> Response:
        """List all people."""
        return render("people.html", "People", people=acts.listing(self._runtime), roles=list(map(str, Role)))

    @Page("POST /people", role=Role.ADMIN)
    def add(self, visitor: Visitor) -> Response:
        """Add a person."""
        name, role, payloads = field("name", most=64), _role(), bool(field("payloads", needed=False))
        return done(
            lambda: acts.add(self._runtime, visitor.who, name, role, payloads=payloads, password=password()),
            url("people"),
            lambda added: f"{added.name} may sign in as {added.role}.",
        )

    @Page("GET /people/<name>", role=Role.ADMIN)
    def person(self, visitor: Visitor, name: str) -> Response:
        """Show one person, with where they are and were signed in."""
        found = acts.find(self._runtime, name).name
        return self._account("person.html", found, is_me=found == visitor.name)

    @Page("POST /people/<name>", role=Role.ADMIN)
    def change(self, visitor: Visitor, name: str) -> Response:
        """Change what a person may do."""
        role, payloads = _role(), bool(field("payloads", needed=False))
        return done(
            lambda: acts.change(self._runtime, visitor.who, name, role=role, payloads=payloads),
            url("people", name),
            lambda changed: f"{changed.name} is {changed.role} now, and signs in anew.",
        )

    @Page("POST /people/<name>/disable", role=Role.ADMIN)
    def disable(self, visitor: Visitor, name: str) -> Response:
        """Let a person in no more."""
        said = f"{name} is disabled, and signed out everywhere."
        return done(lambda: acts.disable(self._runtime, visitor.who, name), url("people", name), said)

    @Page("POST /people/<name>/enable", role=Role.ADMIN)
    def enable(self, visitor: Visitor, name: str) -> Response:
        """Let a disabled person in."""
        said = f"{name} may sign in."
        return done(lambda: acts.change(self._runtime, visitor.who, name, enable=True), url("people", name), said)

    @Page("POST /people/<name>/password", role=Role.ADMIN)
    def set_password(self, visitor: Visitor, name: str) -> Response:
        """Give a person a new password."""
        said = f"{name} has a new password, and is signed out everywhere."
        return done(lambda: acts.set_password(self._runtime, visitor.who, name, password()), url("people", name), said)

    @Page("POST /people/<name>/sign-out", role=Role.ADMIN)
    def sign_out(self, visitor: Visitor, name: str) -> Response:
        """End all sessions of a person."""
        said = f"{name} is signed out everywhere."
        return done(lambda: acts.end_sessions(self._runtime, visitor.who, name), url("people", name), said)

    @Page("GET /me")
    def me(self, visitor: Visitor) -> Response:
        """Show one's own account."""
        return self._account("me.html", visitor.name, this_session=visitor.session_id)

    @Page("POST /me/password")
    def set_my_password(self, visitor: Visitor) -> Response:
        """Change one's own password, with the present one."""
        said = "Your password is changed: sign in with the new one."
        present = password("present_password")
        return done(lambda: sign_in.change_own(self._runtime, visitor, present, password()), url("me"), said)

    @Page("POST /me/sign-out")
    def sign_me_out(self, visitor: Visitor) -> Response:
        """End all sessions of one's own."""
        said = "You are signed out everywhere."
        return done(lambda: acts.end_sessions(self._runtime, visitor.who, visitor.name), url("sign-in"), said)

    def _account(self, template: str, name: str, **more: Any) -> Response:
        person = acts.find(self._runtime, name)
        found = acts.sessions(self._runtime, person)
        now = self._runtime.clock()
        sessions = [(session, session.is_valid(now)) for session in found]
        return render(template, name, person=person, sessions=sessions, roles=list(map(str, Role)), **more)


def _role() -> Role:
    """Return the role that was chosen.

    Raises:
        Problem: 400
    """
    given = field("role")
    if given not in list(Role):
        raise Problem(400, f"There is no role “{given[:64]}”: {', '.join(Role)} are there.")
    return Role(given)
