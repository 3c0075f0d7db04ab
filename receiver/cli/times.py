"""Times as they are typed."""

from datetime import UTC, datetime

import click


class Time(click.ParamType[datetime]):
    """A time with its zone (RFC 3339)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        try:
            found = datetime.fromisoformat(str(value))
            found.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no zone; write it like 2026-01-31T12:00:00Z", param, ctx)
        return found
