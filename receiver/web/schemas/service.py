"""The service itself."""

from typing import Annotated, Any, Literal

from pydantic import Field

from receiver.web.schemas.base import Shape


class Health(Shape):
    """It is well."""

    status: Literal["ok", "ready"]


class Index(Shape):
    """Where things are."""

    service: str
    places: dict[str, str | list[str]]


class OpenApi(Shape):
    """This description: OpenAPI 3.1."""

    openapi: Annotated[str, Field(pattern=r"^3\.1\.")]
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]
