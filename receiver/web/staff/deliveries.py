"""Deliveries: late ones and refused ones, what would have matched, and putting it right."""

from typing import Any

from flask import Response

from receiver.admin import deliveries as acts
from receiver.admin import search
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.inbox.explain import NotExplained
from receiver.model import REASON_CHARACTERS_MAX, Role, Verdict
from receiver.runtime import Runtime
from receiver.store.deliveries import Listed
from receiver.store.encryption import DecryptionFailed
from receiver.web.problems import sentence
from receiver.web.staff import lists
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done, redirect_to
from receiver.web.staff.rendering import render, url
from receiver.web.staff.sources import names

VERDICTS = (str(Verdict.LATE), str(Verdict.REJECTED))


class Deliveries:
    """The views of deliveries."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /deliveries")
    def deliveries(self, visitor: Visitor) -> Response:
        """List late and refused deliveries, the newest first."""
        chosen = lists.several("source")
        Names(self._runtime.database).check_all("source", chosen)
        verdicts = [Verdict(word) for word in lists.several("verdict", VERDICTS)] or Listed.verdicts
        wanted = Listed(verdicts, chosen, lists.several("reason"), lists.time("received_after"))
        below = lists.one("below") or None
        contains = lists.one("contains")
        rows = search.find_deliveries(
            self._runtime, wanted, contains=contains, in_bodies=visitor.payloads, below=below, limit=lists.PAGE + 1
        )
        return render(
            "deliveries.html",
            "Deliveries",
            fragment="found",
            rows=rows[: lists.PAGE],
            following=lists.following(rows, lambda row: row.id),
            below=below,
            contains=contains,
            chips=lists.chips("verdict", "source", "reason", "contains", "received_after"),
            presets=lists.presets(self._runtime.clock()),
            verdicts=VERDICTS,
            sources=names(self._runtime),
        )

    @Page("GET /deliveries/<delivery_id>")
    def delivery(self, visitor: Visitor, delivery_id: str) -> Response:
        """Show one delivery, whatever became of it."""
        return self._shown(visitor, delivery_id)

    @Page("POST /deliveries/<delivery_id>/explain", role=Role.OPERATOR)
    def explain(self, visitor: Visitor, delivery_id: str) -> Response:
        """Find out what would have matched; the audit log notes it."""
        try:
            report = acts.explain(self._runtime, visitor.who, delivery_id).report
        except (NotExplained, DecryptionFailed) as error:
            return redirect_to(url("deliveries", delivery_id), sentence(error), "bad")
        return self._shown(visitor, delivery_id, report=report)

    def _shown(self, visitor: Visitor, delivery_id: str, **more: Any) -> Response:
        found, tells = acts.find(self._runtime, delivery_id), acts.tells(self._runtime, delivery_id)
        return render(
            "delivery.html",
            f"Delivery {delivery_id}",
            found=found,
            tells=tells if visitor.payloads else list(map(search.masked_held, tells)),
            events=acts.event_ids(self._runtime, delivery_id),
            may_act=visitor.may(Role.OPERATOR),
            may_change=visitor.may(Role.ADMIN),
            **more,
        )

    @Page("POST /deliveries/<delivery_id>/accept", role=Role.OPERATOR)
    def accept(self, visitor: Visitor, delivery_id: str) -> Response:
        """Accept a late delivery, with a reason."""
        reason = field("reason")
        return done(
            lambda: acts.accept(self._runtime, visitor.who, delivery_id, reason),
            url("deliveries", delivery_id),
            lambda recorded: f"Accepted: {' '.join(recorded.event_ids)}",
        )

    @Page("POST /deliveries/<delivery_id>/reverify", role=Role.OPERATOR)
    def reverify(self, visitor: Visitor, delivery_id: str) -> Response:
        """Verify a refused delivery once more, with the secrets and options that are known by now."""
        return done(
            lambda: acts.reverify(self._runtime, visitor.who, [delivery_id]),
            url("deliveries", delivery_id),
            lambda found: found.words,
        )

    @Page("POST /deliveries/<delivery_id>/put-right", role=Role.ADMIN)
    def put_right(self, visitor: Visitor, delivery_id: str) -> Response:
        """Set the options by which it would have been taken, and verify what the source refused once more."""
        return done(
            lambda: acts.put_right(self._runtime, visitor.who, delivery_id),
            url("deliveries", delivery_id),
            lambda found: found.words,
        )

    @Page("POST /deliveries/<delivery_id>/raw", role=Role.VIEWER, payloads=True)
    def raw(self, visitor: Visitor, delivery_id: str) -> Response:
        """Show the body as it is stored, with a reason; the audit log notes it."""
        reason = field("reason", most=REASON_CHARACTERS_MAX)
        row, body = acts.raw(self._runtime, visitor.who, delivery_id, reason)
        text = body.decode("utf-8", "replace")
        cut = f"The first {len(body)} of {row.body_bytes} bytes." if len(body) < row.body_bytes else ""
        return render(
            "payload.html", f"Body of {delivery_id}", text=text, about=cut, back=url("deliveries", delivery_id)
        )
