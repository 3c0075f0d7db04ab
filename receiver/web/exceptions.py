"""`/api/v1/exceptions`: what a person has to look at; acknowledge and resolve it."""

from collections.abc import Callable

from receiver.admin import exceptions as acts
from receiver.feed.cursors import Cursors
from receiver.model import NotFound
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.store.exceptions import UNRESOLVED, ExceptionRecord, Wanted
from receiver.web import auth
from receiver.web.operation import Operation
from receiver.web.problems import Problem
from receiver.web.schemas.base import NoBody
from receiver.web.schemas.exceptions import (
    AtIt,
    ExceptionPage,
    ExceptionPath,
    ExceptionQuery,
    Resolution,
    StaffException,
)

NO_EXCEPTION = {404: "There is no such exception, or the token may not see it."}


class Exceptions:
    """The views of what a person has to look at."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._cursors = Cursors(runtime.settings.keys, "exceptions")

    @Operation("GET /api/v1/exceptions", scope="payments:read", query=ExceptionQuery, answers={200: ExceptionPage})
    def list_exceptions(self, token: TokenRecord, query: ExceptionQuery) -> ExceptionPage:
        """List what a person has to look at, the newest change first."""
        below = self._cursors.read_text(query.cursor) if query.cursor else None
        wanted = Wanted(query.state or UNRESOLVED, query.kind, auth.visible_sources(token, query.source))
        found = acts.listing(self._runtime, wanted, below=below, limit=query.limit + 1)
        following = self._cursors.make(found[query.limit - 1].place) if len(found) > query.limit else None
        return ExceptionPage(data=[self._shown(each) for each in found[: query.limit]], next=following)

    @Operation(
        "GET /api/v1/exceptions/<exception_id>",
        scope="payments:read",
        path=ExceptionPath,
        answers={200: StaffException},
        problems=NO_EXCEPTION,
    )
    def show_exception(self, exception_id: str, token: TokenRecord) -> StaffException:
        """One of them."""
        return self._shown(self._found(exception_id, token))

    @Operation(
        "POST /api/v1/exceptions/<exception_id>/acknowledge",
        scope="exceptions:write",
        path=ExceptionPath,
        body=[AtIt, NoBody],
        answers={200: StaffException},
        problems={**NO_EXCEPTION, 409: "It is resolved, or somebody is at it already."},
    )
    def acknowledge_exception(self, exception_id: str, token: TokenRecord, body: AtIt | NoBody) -> StaffException:
        """Say that somebody is at it; the audit log notes it."""
        note = body.note if isinstance(body, AtIt) else None
        return self._act(exception_id, token, lambda who: acts.acknowledge(self._runtime, who, exception_id, note))

    @Operation(
        "POST /api/v1/exceptions/<exception_id>/resolve",
        scope="exceptions:write",
        path=ExceptionPath,
        body=[Resolution],
        answers={200: StaffException},
        problems={**NO_EXCEPTION, 409: "It is resolved already."},
    )
    def resolve_exception(self, exception_id: str, token: TokenRecord, body: Resolution) -> StaffException:
        """Say that nothing is left to be done; the audit log notes it. It is opened anew where it is so once more."""
        return self._act(exception_id, token, lambda who: acts.resolve(self._runtime, who, exception_id, body.note))

    def _act(self, exception_id: str, token: TokenRecord, act: Callable[[str], ExceptionRecord]) -> StaffException:
        self._found(exception_id, token)
        return self._shown(act(f"token:{token.name}"))

    def _found(self, exception_id: str, token: TokenRecord) -> ExceptionRecord:
        try:
            found = acts.find(self._runtime, exception_id)
        except NotFound as error:
            raise Problem(404, "There is no such exception.") from error
        if not auth.may_see(token, found.source):
            raise Problem(404, "There is no such exception.")
        return found

    def _shown(self, found: ExceptionRecord) -> StaffException:
        return StaffException.made(found, self._runtime)
