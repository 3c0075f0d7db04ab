"""`/api/v1/replays`: plan, run, watch and cancel."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify

from receiver import representations
from receiver.admin import replays as acts
from receiver.admin.errors import NotPossible
from receiver.replay.plan import Planner, PlanWrong, Request
from receiver.runtime import Runtime
from receiver.store import feed, replays
from receiver.store.api_tokens import TokenRecord
from receiver.store.replays import Selection
from receiver.web import auth, parameters, schemas
from receiver.web.describing import Body, Description, describes, part, shows
from receiver.web.problems import Problem
from receiver.web.schemas import PER_SECOND_LEAST, PER_SECOND_MAX, PLAN_CHARACTERS_MAX, SOURCES_MAX

FILTERS = set(schemas.ReplayFilter.model_fields)

REPLAY_ID = part("replay_id", "The replay's id.", "rpl_01a1fe381c647449650ebf4481da")
NO_REPLAY = {404: "There is no such replay, or the token may not see it."}

PLAN_OR_RUN = Description(
    scope="replays:write",
    body=Body("What to plan, or the plan to run.", [schemas.PlanRequest, schemas.RunRequest]),
    answers={200: shows(schemas.Plan), 202: shows(schemas.Replay)},
)
SHOW = Description(scope="replays:write", path=(REPLAY_ID,), answers={200: shows(schemas.Replay)}, problems=NO_REPLAY)
CANCEL = Description(
    scope="replays:write",
    path=(REPLAY_ID,),
    answers={200: shows(schemas.Replay)},
    problems={**NO_REPLAY, 409: "It is over already."},
)


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("replays", __name__, url_prefix="/api/v1/replays")
    planner = Planner(runtime.settings.keys)

    @routes.post("")
    @describes(PLAN_OR_RUN)
    def plan_or_run() -> tuple[Response, int]:
        """Plan a replay, or run a plan."""
        token = auth.require(runtime, "replays:write")
        fields = parameters.body_fields()
        try:
            if "plan" in fields:
                return jsonify(_start(runtime, planner, token, _plan_text(fields))), 202
            return jsonify(_plan(runtime, planner, token, fields)), 200
        except PlanWrong as error:
            raise Problem(400, str(error)) from error

    @routes.get("/<replay_id>")
    @describes(SHOW)
    def show(replay_id: str) -> Response:
        """How far a replay has come."""
        return jsonify(_find(runtime, auth.require(runtime, "replays:write"), replay_id))

    @routes.post("/<replay_id>/cancel")
    @describes(CANCEL)
    def cancel(replay_id: str) -> Response:
        """Stop a replay; what it has sent stays sent."""
        token = auth.require(runtime, "replays:write")
        _find(runtime, token, replay_id)
        try:
            return jsonify(representations.replay(acts.cancel(runtime, f"token:{token.name}", replay_id)))
        except NotPossible as error:
            raise Problem(409, "The replay is over already.") from error

    return routes


def _plan_text(fields: dict[str, Any]) -> str:
    # Longer than other texts: the whole filter stands in it.
    return parameters.field_text(fields, "plan", most=PLAN_CHARACTERS_MAX)


def _plan(runtime: Runtime, planner: Planner, token: TokenRecord, fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("dry_run") is not True:
        raise Problem(400, "Send `dry_run: true` for a plan first, then the `plan` that it answers.")
    request = Request(
        selection=_selection(token, fields.get("filter", {})),
        reason=parameters.field_text(fields, "reason"),
        target=parameters.field_text(fields, "target", "feed"),
        consumer=parameters.field_text(fields, "consumer") if "consumer" in fields else None,
        per_second=_rate(fields.get("per_second")),
    )
    feed.give_positions(runtime.database)
    with runtime.database.read() as connection:
        return representations.plan(connection, planner.plan(connection, request, runtime.clock()))


def _selection(token: TokenRecord, given: Any) -> Selection:
    if not isinstance(given, dict) or not set(given) <= FILTERS:
        raise Problem(400, f"`filter` takes an object with any of: {', '.join(sorted(FILTERS))}.")
    asked = given.get("source", [])
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, list) or len(names) > SOURCES_MAX:
        raise Problem(400, f"`source` takes a name, or a list of up to {SOURCES_MAX} names.")
    for name in names:
        parameters.check_text("source", name)
    return Selection(
        sources=tuple(auth.visible_sources(token, names)),
        type=_text(given, "type"),
        payment_id=_text(given, "payment_id"),
        event_id=_text(given, "event_id"),
        delivery_id=_text(given, "delivery_id"),
        received_after=_time(given, "received_after"),
        received_before=_time(given, "received_before"),
    )


def _text(given: dict[str, Any], name: str) -> str | None:
    return parameters.check_text(name, given[name]) if name in given else None


def _time(given: dict[str, Any], name: str) -> datetime | None:
    text = _text(given, name)
    return None if text is None else parameters.read_time(name, text)


def _rate(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not PER_SECOND_LEAST <= given <= PER_SECOND_MAX:
        raise Problem(400, f"`per_second` takes a number from {PER_SECOND_LEAST} to {PER_SECOND_MAX}.")
    return float(given)


def _start(runtime: Runtime, planner: Planner, token: TokenRecord, plan: str) -> dict[str, Any]:
    # A plan is good for whoever holds it, but never beyond the sources that this token may see.
    auth.visible_sources(
        token, planner.read(plan, runtime.clock())["filter"].get("source") or ["*"] if token.sources else []
    )
    return representations.replay(acts.start(runtime, f"token:{token.name}", plan))


def _find(runtime: Runtime, token: TokenRecord, replay_id: str) -> dict[str, Any]:
    with runtime.database.read() as connection:
        row = replays.find(connection, parameters.path_part(replay_id))
    hidden = row is not None and token.sources and not set(row.filter.get("source") or ["*"]) <= set(token.sources)
    if row is None or hidden:
        raise Problem(404, "There is no such replay.")
    return representations.replay(row)
