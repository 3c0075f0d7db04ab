"""Claims of a bank that says when it told them: the later one stands, in whatever order they come."""

from datetime import timedelta

import others
import pytest
from conftest import StandingClock
from flask.testing import FlaskClient
from others import TOKEN, outgoing
from web.connectpay import assert_ok, send
from web.rows import rows

from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord
from receiver.store.tables import Event, Subject


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    return others.add(parts, "connectpay", TOKEN)


pytestmark = pytest.mark.usefixtures("source")


def claimed(parts: Runtime) -> str:
    (payment,) = rows(parts, Subject)
    found: str = payment.claimed_status
    return found


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "iso", "iso without a zone"])
def test_a_late_callback_never_takes_a_claim_back_from_a_later_one(
    client: FlaskClient, parts: Runtime, clock: StandingClock, form: str
) -> None:
    def write(seconds: int) -> str:
        at = clock.now + timedelta(seconds=seconds)
        return {
            "seconds": str(int(at.timestamp())),
            "milliseconds": str(int(at.timestamp() * 1000)),
            "iso": at.isoformat().replace("+00:00", "Z"),
            "iso without a zone": at.replace(tzinfo=None).isoformat(),
        }[form]

    assert_ok(send(client, outgoing("Rejected"), sent_at=write(20)))
    assert_ok(send(client, outgoing("Completed"), sent_at=write(10)))
    assert claimed(parts) == "rejected"
    assert len(rows(parts, Event)) == 2


def test_a_later_callback_takes_the_claim_over(client: FlaskClient, parts: Runtime) -> None:
    send(client, outgoing("Completed"), sent_at="1700000010")
    send(client, outgoing("Rejected"), sent_at="1700000020")
    assert claimed(parts) == "rejected"


def test_a_pending_claim_takes_back_nothing_whatever_its_time(client: FlaskClient, parts: Runtime) -> None:
    """Retries may bear the time of the retry."""
    send(client, outgoing("Completed"), sent_at="1700000010")
    send(client, outgoing("Processing"), sent_at="1700000020")
    assert claimed(parts) == "completed"


@pytest.mark.parametrize(
    "sent_at", [None, "", "yesterday", "-5", "9" * 40, "1e9", "٣٣٣٣٣٣٣٣٣٣".encode().decode("latin-1")]
)
def test_a_time_that_can_t_be_read_hinders_nothing(client: FlaskClient, parts: Runtime, sent_at: str | None) -> None:
    send(client, outgoing("Completed"), sent_at="1700000010")
    assert_ok(send(client, outgoing("Rejected"), sent_at=sent_at))
    assert claimed(parts) == "rejected"
