"""How much something presses that a person has to look at: by how much money is at stake, or how long it has been open.

The table of amounts and ages is set by the operator. What is opened is said in the feed with its severity, so the table
goes with each connection to the database (`Database.press_by`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection

from receiver.model import ExceptionKind, Severity

AT_LEAST: Mapping[ExceptionKind, Severity] = {
    ExceptionKind.GIVING_UP: Severity.HIGH,
    ExceptionKind.SUBSCRIPTION_INACTIVE: Severity.HIGH,
    ExceptionKind.SILENCE: Severity.MEDIUM,
    ExceptionKind.CONSUMER_IDLE: Severity.MEDIUM,
}
"""What concerns all of a source's callbacks, or all that an app reads, and no one amount."""

OPTION = "severities"
"""The connection's option that holds the table."""

AmountRow = tuple[Severity, str, Decimal]
"""From which amount on something presses how much; the currency is empty where it is meant for all others."""

AgeRow = tuple[Severity, timedelta]


@dataclass(frozen=True)
class Severities:
    """The table: from which amount, and from which age on, something presses how much."""

    amounts: Sequence[AmountRow] = ((Severity.HIGH, "", Decimal(10_000)), (Severity.MEDIUM, "", Decimal(1_000)))
    ages: Sequence[AgeRow] = ((Severity.HIGH, timedelta(hours=24)), (Severity.MEDIUM, timedelta(hours=1)))

    def of(
        self,
        kind: ExceptionKind,
        amount: str | None,
        currency: str | None,
        age: timedelta | None = None,
        at_most: Severity | None = None,
    ) -> Severity:
        """Return how much something presses that has been open for `age`; none where it is not open."""
        found = {self._by_amount(_worth(amount), currency or ""), self._by_age(age), AT_LEAST.get(kind, Severity.LOW)}
        level = next(level for level in Severity if level in found)
        return level if at_most is None else max(level, at_most, key=list(Severity).index)

    def _by_amount(self, worth: Decimal, currency: str) -> Severity:
        own = {level: least for level, code, least in self.amounts if code == currency}
        least = {level: least for level, code, least in self.amounts if not code} | own
        return next((level for level in Severity if level in least and worth >= least[level]), Severity.LOW)

    def _by_age(self, age: timedelta | None) -> Severity:
        least = dict(self.ages)
        found = (level for level in Severity if age is not None and level in least and age >= least[level])
        return next(found, Severity.LOW)


DEFAULT = Severities()


def severities_of(connection: Connection) -> Severities:
    """Return the table that goes with a connection."""
    found: Severities = connection.get_execution_options().get(OPTION, DEFAULT)
    return found


def _worth(amount: str | None) -> Decimal:
    try:
        found = Decimal(amount or "0").copy_abs()
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)
