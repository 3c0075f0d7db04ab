"""Consumers: how far each app has come; move one on purpose."""

from flask import Response

from receiver.admin import consumers as acts
from receiver.admin.sessions import Visitor
from receiver.model import NotFound, Role
from receiver.runtime import Runtime
from receiver.web.problems import Problem
from receiver.web.schemas.times import asked_time
from receiver.web.staff import lists
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url


class Consumers:
    """The views of consumers."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /consumers")
    def consumers(self, visitor: Visitor) -> Response:
        """List consumers by name, with how far each is behind."""
        behind = lists.one("behind") or None
        rows = acts.listing(self._runtime, behind=behind, limit=lists.PAGE + 1)
        following = lists.following(rows, lambda row: row.consumer.name)
        return render(
            "consumers.html",
            "Consumers",
            fragment="found",
            rows=rows[: lists.PAGE],
            following=following,
            behind=behind,
        )

    @Page("GET /consumers/<name>")
    def consumer(self, visitor: Visitor, name: str) -> Response:
        """Show one consumer."""
        found = acts.standing(self._runtime, name)
        if found is None:
            raise NotFound(f"there is no consumer {name!r}")
        return render("consumer.html", f"Consumer {name}", found=found, may_act=visitor.may(Role.OPERATOR))

    @Page("POST /consumers/<name>/seek", role=Role.OPERATOR)
    def seek(self, visitor: Visitor, name: str) -> Response:
        """Move a consumer: to the beginning, to the end, or before what came at a time."""
        acts.find(self._runtime, name)
        given = field("to")
        try:
            to = {"beginning": 0, "end": None}[given] if given in ("beginning", "end") else asked_time(given)
        except ValueError as error:
            raise Problem(400, f"“To” takes beginning, end, or {error}.") from error
        return done(
            lambda: acts.seek(self._runtime, visitor.who, name, to),
            url("consumers", name),
            lambda place: f"{name} reads on behind position {place.position}.",
        )
