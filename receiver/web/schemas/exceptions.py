"""What a person has to look at, as it is written."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field

from receiver.admin.exceptions import NOTE_CHARACTERS_MAX, severity
from receiver.model import ExceptionKind, ExceptionState
from receiver.runtime import Runtime
from receiver.store.exceptions import ExceptionRecord
from receiver.web.schemas.base import (
    NO_NUL,
    PAGE,
    Amount,
    Answer,
    Body,
    LeftOut,
    Limit,
    ListPage,
    Path,
    PathText,
    Query,
    SourceName,
    Time,
    left_out,
    one_of,
    such_as,
)

KINDS = tuple(map(str, ExceptionKind))
STATES = tuple(map(str, ExceptionState))


class StaffException(Answer):
    """Something that a person has to look at."""

    id: str
    kind: Annotated[str, Field(json_schema_extra={"enum": list(KINDS)})]
    state: Annotated[str, Field(json_schema_extra={"enum": list(STATES)})]
    severity: str
    """`high`, `medium` or `low`, by the amount or by how long it has been open."""
    source: str
    about: str
    """What `subject` names: `payment`, `job`, `reference`, `event`, `delivery`, `reason` of a refusal,
    `consumer` or `source`."""
    subject: str
    event_id: str | None
    """An event to look at."""
    delivery_id: str | None
    """A delivery to look at."""
    amount: Amount | None
    currency: str | None
    number: int
    """How many deliveries it is about; 1 where it is about none."""
    detail: str | None
    """What is so, in words."""
    opened_at: Time
    changed_at: Time
    handled_by: str | None
    """Who acknowledged or resolved it; null where nobody did, or where it was resolved by itself."""
    handled_at: Time | None
    note: str | None

    @classmethod
    def made(cls, found: ExceptionRecord, runtime: Runtime) -> Self:
        """Show one of them as it is just now."""
        fields = {name: value for name, value in found._asdict().items() if name in cls.model_fields}
        return cls(**fields, severity=severity(found, runtime.clock(), runtime.severities))


class ExceptionQuery(Query):
    """Which of them to list."""

    state: list[Annotated[str, one_of(STATES), Field(json_schema_extra={"enum": list(STATES)})]] = Field(
        default_factory=list
    )
    """How far it has come. Repeatable; `open` and `acknowledged` without it."""
    kind: list[Annotated[str, one_of(KINDS), Field(json_schema_extra={"enum": list(KINDS)})]] = Field(
        default_factory=list
    )
    """Why a person has to look. Repeatable."""
    source: list[SourceName] = Field(default_factory=list)
    """A source's name. Repeatable."""
    limit: Limit = Field(PAGE, examples=[10])
    """How many in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before; repeat the filters with it."""


class ExceptionPath(Path):
    """One of them."""

    exception_id: Annotated[PathText, Field(examples=["exc_01a1fe381c647449650ebf4481da"])]
    """Its id."""


class ExceptionPage(ListPage):
    """What a person has to look at, the newest change first."""

    data: list[StaffException]
    next: str | None
    """The cursor of the next page; null on the last one."""


Note = Annotated[str, Field(max_length=NOTE_CHARACTERS_MAX, pattern=NO_NUL)]


def says_something(given: str) -> str:
    """Refuse blanks alone."""
    if not given.strip():
        raise ValueError
    return given


class AtIt(Body):
    """Say that somebody is at it."""

    model_config = such_as(note="asking the bank")

    note: LeftOut[Note] = left_out()
    """For whoever looks next; it is stored in the audit log."""


class Resolution(Body):
    """Say that nothing is left to be done."""

    model_config = such_as(note="the bank has corrected it")

    note: Annotated[Note, Field(min_length=1), AfterValidator(says_something)]
    """What was done; it is stored in the audit log."""
