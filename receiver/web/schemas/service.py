"""The service itself: problems, health, where things are, and who did what."""

from typing import Annotated, Any, Literal

from pydantic import Field

from receiver.web.schemas.base import Answer, Time


class Problem(Answer):
    """What was wrong, as RFC 9457 says it."""

    type: Literal["about:blank"]
    title: str
    """The phrase of the status."""
    status: int
    detail: str
    """What was wrong with this request, and what to do."""


class Health(Answer):
    """It is well."""

    status: Literal["ok", "ready"]


class Index(Answer):
    """Where things are."""

    service: str
    places: dict[str, str | list[str]]


class OpenApi(Answer):
    """This description: OpenAPI 3.1."""

    openapi: Annotated[str, Field(pattern=r"^3\.1\.")]
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


class AuditEntry(Answer):
    """One line of the audit log."""

    id: int
    at: Time
    who: str
    """`cli:<user>` or `token:<name>`."""
    what: str
    why: str | None
    about: dict[str, Any]
