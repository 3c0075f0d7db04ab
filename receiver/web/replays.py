"""`/api/v1/replays`: plan, run, watch, pause and cancel."""

from collections.abc import Callable, Mapping
from typing import Any

from receiver.admin import replays as acts
from receiver.model import NotFound
from receiver.replay.plan import Request
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.store.replays import ReplayRecord
from receiver.web import auth
from receiver.web.operation import Operation
from receiver.web.problems import Problem
from receiver.web.schemas.replays import Plan, PlanRequest, Replay, ReplayFilter, ReplayPath, RunRequest

NO_REPLAY = {404: "There is no such replay, or the token may not see it."}


class Replays:
    """The views of replays."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._planner = acts.planner(runtime)

    @Operation(
        "POST /api/v1/replays",
        scope="replays:write",
        body=[PlanRequest, RunRequest],
        answers={200: Plan, 202: Replay},
    )
    def plan_or_run(self, token: TokenRecord, body: PlanRequest | RunRequest) -> Plan | Replay:
        """Plan a replay, or run a plan; a large one awaits approval."""
        return self._run(token, body.plan) if isinstance(body, RunRequest) else self._plan(token, body)

    @Operation(
        "GET /api/v1/replays/<replay_id>",
        scope="replays:write",
        path=ReplayPath,
        answers={200: Replay},
        problems=NO_REPLAY,
    )
    def show(self, replay_id: str, token: TokenRecord) -> Replay:
        """How far a replay has come."""
        return self._find(token, replay_id)

    @Operation(
        "POST /api/v1/replays/<replay_id>/cancel",
        scope="replays:write",
        path=ReplayPath,
        answers={200: Replay},
        problems={**NO_REPLAY, 409: "It is over already."},
    )
    def cancel(self, replay_id: str, token: TokenRecord) -> Replay:
        """Stop a replay; what it has sent stays sent."""
        return self._act(token, replay_id, acts.cancel)

    @Operation(
        "POST /api/v1/replays/<replay_id>/pause",
        scope="replays:write",
        path=ReplayPath,
        answers={200: Replay},
        problems={**NO_REPLAY, 409: "It is not running."},
    )
    def pause(self, replay_id: str, token: TokenRecord) -> Replay:
        """Stop a running replay until it is resumed."""
        return self._act(token, replay_id, acts.pause)

    @Operation(
        "POST /api/v1/replays/<replay_id>/resume",
        scope="replays:write",
        path=ReplayPath,
        answers={200: Replay},
        problems={**NO_REPLAY, 409: "It is not paused."},
    )
    def resume(self, replay_id: str, token: TokenRecord) -> Replay:
        """Let a paused replay go on."""
        return self._act(token, replay_id, acts.resume)

    def _act(self, token: TokenRecord, replay_id: str, act: Callable[[Runtime, str, str], ReplayRecord]) -> Replay:
        self._find(token, replay_id)
        return Replay.of(act(self._runtime, f"token:{token.name}", replay_id))

    def _plan(self, token: TokenRecord, asked: PlanRequest) -> Plan:
        chosen = asked.filter or ReplayFilter()
        selection = chosen.selection(auth.visible_sources(token, chosen.sources))
        request = Request(selection, asked.reason, asked.target, asked.consumer, asked.per_second)
        found = chosen.wanted(selection.sources)
        plan = acts.plan(self._runtime, request) if found is None else acts.plan_found(self._runtime, found, request)
        return Plan.made(plan, acts.choices(self._runtime).sources)

    def _run(self, token: TokenRecord, plan: str) -> Replay:
        # A plan is good for whoever holds it, but never beyond the sources that this token may see.
        planned = self._planner.read(plan, self._runtime.clock())
        auth.visible_sources(token, _sources_of(planned["filter"]))
        return Replay.of(acts.start(self._runtime, f"token:{token.name}", plan))

    def _find(self, token: TokenRecord, replay_id: str) -> Replay:
        try:
            found = acts.find(self._runtime, replay_id)
        except NotFound as error:
            raise Problem(404, "There is no such replay.") from error
        if not all(auth.may_see(token, source) for source in _sources_of(found.filter)):
            raise Problem(404, "There is no such replay.")
        return Replay.of(found)


def _sources_of(selected: Mapping[str, Any]) -> list[str]:
    """Return the names of the sources that a replay is of; `*`, which is no source's name, where it is of all."""
    return selected.get("source") or ["*"]
