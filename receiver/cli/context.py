"""What every command starts from: how it is read and fails, the process's parts over a migrated database, who is there.

All commands are of the classes here, so that a promise of the whole command line is made in one place. Times are read
in one way by all of them.
"""

import os
import pwd
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import click

from receiver.model import NameUnknown, ReceiverError


class Command(click.Command):
    """A command that refuses what is no text, and an option that is given twice where it takes one value."""

    @classmethod
    def of(cls, plain: click.Command) -> Self:
        """Make one of a command that was defined elsewhere."""
        return cls(plain.name, callback=plain.callback, params=plain.params, help=plain.help)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words behind the command's name."""
        _refuse_no_text(ctx, args)
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a name that there is not is wrong use (2)."""
        try:
            return super().invoke(ctx)
        except NameUnknown as error:
            raise click.UsageError(str(error), ctx) from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words behind the group's name, up to the command."""
        _refuse_no_text(ctx, args)
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


def _refuse_no_text(ctx: click.Context, args: list[str]) -> None:
    """Refuse a word whose bytes are no UTF-8: it can't be stored, sent or shown.

    Raises:
        UsageError
    """
    for word in args:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{word[:80]!a} is not UTF-8.", ctx) from None


def _refuse_repeated(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Refuse an option that stands more than once in `args` and takes one value.

    Raises:
        UsageError
    """
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    for option, number in Counter(order).items():
        if number > 1 and isinstance(option, click.Option) and not (option.multiple or option.count or option.is_eager):
            raise click.UsageError(f"{option.opts[0]} is given {number} times; it is taken once.", ctx)


class FailsInOneLine(Group):
    """A group whose commands end with one line where the reason is known, and with a traceback where it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ReceiverError as error:
            raise click.ClickException(str(error)) from error


if TYPE_CHECKING:
    from receiver.runtime import Runtime


def migrated() -> "Runtime":
    """Return the parts, once the database is known to have this release's tables; closed when the command ends.

    Raises:
        SettingsError
        NotMigrated
        StoreUnavailable
    """
    from receiver import logs, runtime
    from receiver.settings import load_settings
    from receiver.store import schema

    # Where a file system was lost, a file made in its empty folder would be taken for the database by what serves.
    started = runtime.start(load_settings(), must_exist=True)
    click.get_current_context().call_on_close(started.database.close)
    logs.configure("WARNING")
    with runtime.naming_database():
        schema.check_there(started.database)
        schema.check(started.database)
    return started


def who() -> str:
    """Return who uses the command line, as the audit log names them: `cli:` and the operating system's user.

    By the process's own number: a name in the environment (`LOGNAME`) is anybody's to choose.
    """
    number = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"cli:{number}"


class Time(click.ParamType[datetime]):
    """A time with its zone (RFC 3339)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        from receiver.web.schemas.times import asked_time, read_time

        try:
            if read_time(str(value)).tzinfo is None:
                self.fail(f"{value!r} has no zone; write it like 2026-01-31T12:00:00Z", param, ctx)
            return asked_time(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-01-31T12:00:00Z", param, ctx)
