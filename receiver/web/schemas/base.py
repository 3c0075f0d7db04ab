"""What all shapes share: their base, recurring types, and the problem document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from receiver.replay.plan import TARGETS
from receiver.store.payments import AGREEMENTS, STATUSES
from receiver.web.describing import NO_NUL
from receiver.web.parameters import BODY_TEXT_CHARACTERS_MAX, TEXT_CHARACTERS_MAX

Amount = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["1000.00"])]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1, max_length=BODY_TEXT_CHARACTERS_MAX, pattern=NO_NUL)]
ShortText = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX, pattern=NO_NUL)]
EventId = Annotated[str, Field(pattern="^evt_", examples=["evt_01a1fe381c647449650ebf4481da"])]
Status = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
Agreement = Annotated[str, Field(json_schema_extra={"enum": list(AGREEMENTS)})]
Target = Annotated[str, Field(json_schema_extra={"enum": list(TARGETS)})]


def left_out() -> Any:
    """Make a field that is left out where it has no value, and never null."""
    return Field(default_factory=str)


class Shape(BaseModel):
    """What all shapes share: the text below a field describes it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


def such_as(**fields: Any) -> ConfigDict:
    """Give a shape an example, with these values."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Problem(Shape):
    """What was wrong, as RFC 9457 says it."""

    type: Literal["about:blank"]
    title: str
    """The phrase of the status."""
    status: int
    detail: str
    """What was wrong with this request, and what to do."""
