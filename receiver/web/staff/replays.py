"""Replays: plan one, see what it comes to, run it, approve, hold up and stop it."""

from collections.abc import Callable

from flask import Response, request
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from receiver.admin import replays as acts
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.model import NameUnknown, ReplayState, Role
from receiver.replay.plan import Plan, PlanWrong
from receiver.runtime import Runtime
from receiver.store.replays import ReplayRecord
from receiver.web.problems import Problem
from receiver.web.schemas.base import GivenTwice
from receiver.web.schemas.wording import given_twice, refusal
from receiver.web.staff import lists
from receiver.web.staff.forms import FIELD, as_typed, field
from receiver.web.staff.page import Page, done, redirect_to
from receiver.web.staff.rendering import here, render, url
from receiver.web.staff.replay_form import TARGETS, PlanForm, chosen, shown_filter

STATES = tuple(map(str, ReplayState))


class Replays:
    """The views of replays."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @Page("GET /replays")
    def replays(self, visitor: Visitor) -> Response:
        """List replays, the newest first; those in a state alone where one is asked for."""
        state, below = request.args.get("state", ""), request.args.get("cursor") or None
        if state and state not in STATES:
            raise Problem(400, f"The state is one of: {', '.join(STATES)}.")
        states = [state] if state else []
        found = acts.listing(self._runtime, states=states, below=below, limit=lists.PAGE + 1)
        return render(
            "replays.html",
            "Replays",
            fragment="list",
            replays=found[: lists.PAGE],
            state=state,
            states=STATES,
            next=here(cursor=found[lists.PAGE - 1].id) if len(found) > lists.PAGE else None,
            first=here(cursor=None) if below else None,
            may_plan=visitor.may(Role.OPERATOR),
        )

    @Page("GET /replays/new", role=Role.OPERATOR)
    def new(self, visitor: Visitor) -> Response:
        """Ask what to send again, where to and why; an address may hold any of it."""
        wrong = None
        try:
            self._read(request.args)
        except PlanWrong as error:
            wrong = str(error)
        return self._form(request.args, wrong)

    @Page("POST /replays/plan", role=Role.OPERATOR)
    def plan(self, visitor: Visitor) -> Response:
        """Show what a replay would come to; nothing is sent yet."""
        try:
            form = self._read(request.form)
            made = form.plan(self._runtime, visitor)
        except (PlanWrong, NameUnknown) as error:
            return self._form(request.form, str(error), status=400)
        return self._plan(visitor, form, made)

    def _plan(self, visitor: Visitor, form: PlanForm, made: Plan) -> Response:
        above = self._runtime.settings.replay_approval_above
        return render(
            "replay_plan.html",
            "Plan of a replay",
            form=form,
            made=made,
            names=acts.choices(self._runtime).sources,
            asked=form.shown(),
            change=url("replays", "new", **form.given()),
            above=above,
            waits=0 < above < made.matched.number,
            me=visitor,
        )

    @Page("POST /replays", role=Role.OPERATOR)
    def run(self, visitor: Visitor) -> Response:
        """Run a plan."""
        try:
            started = acts.start(self._runtime, visitor.who, field("plan", most=200_000))
        except PlanWrong as error:
            return redirect_to(url("replays", "new"), str(error), "bad")
        waits = started.state == ReplayState.AWAITING_APPROVAL
        said = "It is large: it waits until somebody else approves it." if waits else "The replay is started."
        return redirect_to(url("replays", started.id), said, "warn" if waits else "good")

    @Page("GET /replays/<replay_id>")
    def replay(self, visitor: Visitor, replay_id: str) -> Response:
        """Show one replay, and how far it has come."""
        found = acts.find(self._runtime, replay_id)
        response = render(
            "replay.html",
            "Replay",
            fragment="progress",
            replay=found,
            asked=shown_filter(found.filter),
            asked_by_me=acts.is_same_person(visitor.who, found.requested_by),
            may_act=visitor.may(Role.OPERATOR),
            may_approve=visitor.may(Role.APPROVER),
            above=self._runtime.settings.replay_approval_above,
        )
        # What may be done depends on the state: with another one, the whole page is loaded anew.
        if "HX-Request" in request.headers and request.args.get("was", found.state) != found.state:
            response.headers["HX-Refresh"] = "true"
        return response

    @Page("POST /replays/<replay_id>/approve", role=Role.APPROVER)
    def approve(self, visitor: Visitor, replay_id: str) -> Response:
        """Start a large replay that somebody else has asked for."""
        return self._act(visitor, replay_id, acts.approve, "The replay is approved, and runs.")

    @Page("POST /replays/<replay_id>/pause", role=Role.OPERATOR)
    def pause(self, visitor: Visitor, replay_id: str) -> Response:
        """Stop a running replay until it is resumed."""
        return self._act(visitor, replay_id, acts.pause, "The replay is paused.")

    @Page("POST /replays/<replay_id>/resume", role=Role.OPERATOR)
    def resume(self, visitor: Visitor, replay_id: str) -> Response:
        """Let a paused replay go on."""
        return self._act(visitor, replay_id, acts.resume, "The replay goes on.")

    @Page("POST /replays/<replay_id>/cancel", role=Role.OPERATOR)
    def cancel(self, visitor: Visitor, replay_id: str) -> Response:
        """Stop a replay for good; what it has sent stays sent."""
        return self._act(visitor, replay_id, acts.cancel, "The replay is cancelled.")

    def _act(
        self, visitor: Visitor, replay_id: str, act: Callable[[Runtime, str, str], ReplayRecord], said: str
    ) -> Response:
        return done(lambda: act(self._runtime, visitor.who, replay_id), url("replays", replay_id), said)

    def _read(self, given: MultiDict[str, str]) -> PlanForm:
        """Read what is to be sent again.

        Raises:
            PlanWrong: a field does not hold what it takes.
        """
        fields = MultiDict((name, as_typed(value)) for name, value in given.items(multi=True) if name != FIELD)
        try:
            return PlanForm.read(fields, Names(self._runtime.database))
        except GivenTwice as error:
            raise PlanWrong(given_twice(error.name)) from error
        except ValidationError as error:
            raise PlanWrong(refusal(PlanForm, error)) from error
        except NameUnknown as error:
            raise PlanWrong(str(error)) from error

    def _form(self, typed: MultiDict[str, str], wrong: str | None, status: int = 200) -> Response:
        """Ask what to send again, with all that was `typed`, right or wrong: what is lost would restrict no more."""
        choices = acts.choices(self._runtime)
        return render(
            "replay_new.html",
            "Send again",
            status=status,
            typed=typed,
            wrong=wrong,
            sources=sorted(choices.sources.values()),
            consumers=choices.consumers,
            targets=TARGETS,
            chosen=chosen(typed),
        )
