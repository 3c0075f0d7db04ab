"""`/api/v1/days`: business days, the bank's list against our events."""

from datetime import date

from receiver.admin import day_lines
from receiver.admin import days as acts
from receiver.feed.cursors import CursorInvalid, Cursors
from receiver.model import DayCategory, NotFound, Scope
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.web import auth
from receiver.web.operation import Operation
from receiver.web.problems import Problem, sentence
from receiver.web.schemas.days import Day, DayPath, DayQuery, DaysPage, DaysQuery, DaySummary, place_in, place_of


class Days:
    """The views of days."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._days = Cursors(runtime.settings.keys, "days")
        self._lines = Cursors(runtime.settings.keys, "day lines")

    @Operation("GET /api/v1/days", scope="payments:read", query=DaysQuery, answers={200: DaysPage})
    def list_days(self, token: TokenRecord, query: DaysQuery) -> DaysPage:
        """Days of the calendars of banks that list what they know, the latest first, open ones too."""
        below = place_in(self._days.read_text(query.cursor)) if query.cursor else None
        names = auth.visible_sources(token, query.source)
        found = acts.listing(self._runtime, names, below=below, limit=query.limit + 1)
        following = self._days.make(place_of(found[query.limit - 1])) if len(found) > query.limit else None
        return DaysPage(data=[DaySummary.made(day) for day in found[: query.limit]], next=following)

    @Operation(
        "GET /api/v1/days/<source>/<date>",
        scope="payments:read",
        path=DayPath,
        query=DayQuery,
        answers={200: Day},
        problems={
            404: "There is no such source, business day or version, or the token may not see it; of a day that is no "
            "business day `detail` names the next one.",
            409: "The day is open, and has too many lines to be shown before it is closed; or its source is of a bank "
            "that this release does not know.",
        },
    )
    def show_day(self, source: str, date: str, token: TokenRecord, query: DayQuery) -> Day:
        """One business day: counts and sums, when callbacks came, and a page of its lines."""
        day = _day(date)
        version, place = self._place(query)
        if not auth.may_see(token, source):
            raise Problem(404, "There is no such source.")
        categories = [DayCategory(word) for word in query.category]
        try:
            found = acts.find(self._runtime, source, day, version)
            if query.cursor and version is None and found.record is not None:
                raise Problem(400, "The day has been closed since the page before: begin anew, without `cursor`.")
            lines = day_lines.lines(self._runtime, found, categories, place=place, limit=query.limit + 1)
        except NotFound as error:
            raise Problem(404, sentence(error)) from error
        following = None
        if len(lines) > query.limit:
            # In the same version: lines of another stand in other places.
            number = found.record.version if found.record else 0
            following = self._lines.make(f"{number} {place + query.limit}")
        shown = lines[: query.limit]
        if Scope.PAYLOADS_READ not in token.scopes:
            shown = [day_lines.masked(line) for line in shown]
        return Day.made(found, shown, following)

    def _place(self, query: DayQuery) -> tuple[int | None, int]:
        """Return the version that is asked for, none for the latest or an open day, and how many lines to pass over.

        Raises:
            CursorInvalid
        """
        if not query.cursor:
            return query.version, 0
        version, place = map(int, self._lines.read_text(query.cursor).split())
        if query.version is not None and query.version != version:
            raise CursorInvalid
        return version or None, place


def _day(text: str) -> date:
    try:
        return acts.a_day(text)
    except ValueError as error:
        raise Problem(400, "`date` takes a day such as 2026-01-31.") from error
