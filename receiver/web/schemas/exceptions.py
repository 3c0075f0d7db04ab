"""What a person has to look at, as it is written."""

from datetime import datetime
from typing import Self

from receiver.admin.exceptions import severity
from receiver.store.exceptions import ExceptionRecord
from receiver.web.schemas.base import Answer, Time


class StaffException(Answer):
    """Something that a person has to look at."""

    id: str
    kind: str
    state: str
    severity: str
    """`high`, `medium` or `low`, by the amount or by how long it has been open."""
    source: str
    about: str
    """What `subject` names: `payment`, `job`, `reference`, `event`, `delivery`, or `reason` of a refusal."""
    subject: str
    event_id: str | None
    delivery_id: str | None
    amount: str | None
    currency: str | None
    number: int
    detail: str | None
    opened_at: Time
    changed_at: Time
    handled_by: str | None
    """Who acknowledged or resolved it; null where nobody did, or where it was resolved by itself."""
    handled_at: Time | None
    note: str | None

    @classmethod
    def made(cls, found: ExceptionRecord, now: datetime) -> Self:
        """Show one of them as it is at `now` (UTC)."""
        fields = {name: value for name, value in found._asdict().items() if name in cls.model_fields}
        return cls(**fields, severity=severity(found, now))
