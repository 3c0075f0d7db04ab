"""What needs a person: grouped by kind, the newest change first; acknowledge and resolve with a note."""

from typing import Any

from flask import Response

from receiver.admin import exceptions as acts
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.model import ExceptionKind, ExceptionState, Role, Severity
from receiver.runtime import Runtime
from receiver.store.exceptions import UNRESOLVED, ExceptionRecord, Wanted
from receiver.web.staff import lists
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url
from receiver.web.staff.sources import names

EACH = 5
"""Of a kind, where all kinds are shown."""

KINDS = tuple(map(str, ExceptionKind))
STATES = tuple(map(str, ExceptionState))

ABOUT = {
    "contradicted": "The bank's final answer is another one than what a callback claimed. Do not act on the claim.",
    "unknown_to_bank": "A callback claims it, and the bank has said for an hour that it does not know it.",
    "late": "Rightly signed, but too long ago or ahead: it waits for the bank, or for a person who accepts it.",
    "conflict": "The same event came again with other content. Lay both side by side.",
    "rejected": "Well-formed, from an address that is allowed, and yet refused: see what would have matched.",
    "stalled": "It has not come to an end for too long. Ask the bank what keeps it.",
    "recovered": "A sweep found it at the bank, and no callback has come: nothing proves it but the bank's own list.",
    "amount_differs": "The bank has another amount than the one that a callback claimed.",
    "subscription_inactive": "The bank has no active subscription that sends callbacks here.",
    "silence": "No callback has come for longer than there should be none.",
    "giving_up": "The bank soon stops sending, because what it sends is refused. See what would have matched.",
    "consumer_idle": "An app has stopped reading: what it has not read is removed with age. Start it, or remove it.",
}
"""What each kind means, and what to do."""


class Exceptions:
    """The views of what needs a person."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    def _severity(self, found: ExceptionRecord) -> Severity:
        return acts.severity(found, self._runtime.clock(), self._runtime.severities)

    @Page("GET /exceptions")
    def exceptions(self, visitor: Visitor) -> Response:
        """List what needs a person: some of each kind, or all of one."""
        states = lists.several("state", STATES)
        chosen = lists.several("source")
        Names(self._runtime.database).check_all("source", chosen)
        wanted = Wanted(states or UNRESOLVED, lists.several("kind", KINDS), chosen)
        shared: dict[str, Any] = {
            "about": ABOUT,
            "severity": self._severity,
            "chips": lists.chips("state", "kind", "source"),
            "sources": names(self._runtime),
            "states": STATES,
            "kinds": KINDS,
        }
        if len(wanted.kinds) != 1:
            groups = acts.groups(self._runtime, wanted, each=EACH)
            return render("exceptions.html", "Needs a person", fragment="found", groups=groups, **shared)
        below = lists.one("below") or None
        rows = acts.listing(self._runtime, wanted, below=below, limit=lists.PAGE + 1)
        following = lists.following(rows, lambda row: row.place)
        shared |= {"rows": rows[: lists.PAGE], "following": following, "below": below, "kind": wanted.kinds[0]}
        return render("exceptions.html", "Needs a person", fragment="found", groups=None, **shared)

    @Page("GET /exceptions/<exception_id>")
    def exception(self, visitor: Visitor, exception_id: str) -> Response:
        """Show one of them, with what can be done."""
        found = acts.find(self._runtime, exception_id)
        return render(
            "exception.html",
            f"{str(found.kind).replace('_', ' ').capitalize()}: {found.subject}",
            found=found,
            about=ABOUT.get(str(found.kind), ""),
            severity=self._severity(found),
            may_act=visitor.may(Role.OPERATOR),
        )

    @Page("POST /exceptions/<exception_id>/acknowledge", role=Role.OPERATOR)
    def acknowledge(self, visitor: Visitor, exception_id: str) -> Response:
        """Say that somebody is at it."""
        note = field("note", needed=False)
        return done(
            lambda: acts.acknowledge(self._runtime, visitor.who, exception_id, note),
            url("exceptions", exception_id),
            "It is noted that you are at it.",
        )

    @Page("POST /exceptions/<exception_id>/resolve", role=Role.OPERATOR)
    def resolve(self, visitor: Visitor, exception_id: str) -> Response:
        """Say that nothing is left to be done."""
        note = field("note")
        return done(
            lambda: acts.resolve(self._runtime, visitor.who, exception_id, note),
            url("exceptions"),
            "Resolved. It is opened anew where it is so once more.",
        )
