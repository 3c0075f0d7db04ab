"""What the tests of replays share: a log to send again, plans, and runners that work them off."""

from typing import Any

from bank import BankSigner, Signed, deposit
from flask.testing import FlaskClient
from store.race import append

from receiver.admin import replays as acts
from receiver.projection.projector import catch_up
from receiver.replay.plan import Plan, Request
from receiver.replay.run import Runner
from receiver.runtime import Runtime
from receiver.store import feed, replays
from receiver.store.feed import Entry, Wanted
from receiver.store.replay_selection import Selection
from receiver.store.replays import ReplayRecord
from receiver.store.sources import SourceRecord
from receiver.web import create_app

REASON = "the ledger lost a day"


def write(parts: Runtime, source: SourceRecord, *names: str, kind: str = "test.entry") -> None:
    """Put entries into the feed, and give them their positions."""
    with parts.database.write() as connection:
        for name in names:
            append(connection, parts, source, name, kind)
    catch_up(parts.database)


def planned(
    parts: Runtime,
    *,
    reason: str = REASON,
    target: str = "feed",
    consumer: str | None = None,
    per_second: float | None = None,
    **selection: Any,
) -> Plan:
    """Make a plan."""
    request = Request(Selection(**selection), reason, target, consumer, per_second)
    with parts.database.read() as connection:
        return acts.planner(parts).plan(connection, request, parts.clock())


def started(parts: Runtime, plan: Plan | str, who: str = "token:app") -> str:
    """Start a plan; return the replay's id."""
    token = plan if isinstance(plan, str) else plan.token
    with parts.database.write() as connection:
        return acts.planner(parts).start(connection, parts.encryption, token, who, parts.clock())


def runner(parts: Runtime) -> Runner:
    return Runner(parts)


def work_off(parts: Runtime) -> int:
    """Do all that is due; return how many parts that took."""
    running, number = runner(parts), 0
    while done := running.run_due():
        number += done
    return number


def run(parts: Runtime, **request: Any) -> ReplayRecord:
    """Plan, start and work off a replay; return what is known of it then."""
    replay_id = started(parts, planned(parts, **request))
    work_off(parts)
    return found(parts, replay_id)


def found(parts: Runtime, replay_id: str) -> ReplayRecord:
    with parts.database.read() as connection:
        row = replays.find(connection, replay_id)
    assert row is not None
    return row


def log(parts: Runtime, reader: str | None = None) -> list[Entry]:
    """All entries in the order of their positions."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        return list(feed.read(connection, after=0, limit=100_000, wanted=Wanted(consumer=reader)).entries)


def again(parts: Runtime, reader: str | None = None) -> list[str | None]:
    """The subjects of what was sent again."""
    return [entry.subject for entry in log(parts, reader) if entry.replay_id is not None]


def post(parts: Runtime, signed: Signed) -> int:
    """Deliver a callback; return the status that it is answered."""
    client: FlaskClient = create_app(parts).test_client()
    return client.post(signed.path, data=signed.body, headers=signed.headers).status_code


def tell(parts: Runtime, bank: BankSigner, payment_id: str, **how: Any) -> int:
    """Let the bank tell of a deposit."""
    return post(parts, bank.sign(deposit(transactionId=payment_id), **how))
