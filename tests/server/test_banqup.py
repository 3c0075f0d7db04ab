"""Banqup between real servers: the listener registered by its API, messages to it, payments asked for over TLS."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import others
import pytest
from click.testing import CliRunner
from conftest import KEY
from others import TOKEN
from servers import WebServer, environment

from receiver import runtime
from receiver.cli import main
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.banqup import Config, Simulator
from receiver.simulator.banqup.bank import EXAMPLE_SPACE, Payment, message
from receiver.simulator.scripts import Script
from receiver.store import payments
from receiver.worker.loop import Worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
def parts(database_url: str) -> Iterator[Runtime]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=database_url)
    started = runtime.start(settings)
    yield started
    started.database.close()


@pytest.fixture
def web(database_url: str) -> Iterator[WebServer]:
    """The receiver; not started yet."""
    made = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING"))
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def bank(
    web: WebServer, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Iterator[Simulator]:
    def wait(seconds: float) -> bool:
        if seconds >= 1:
            waits.append(seconds)
            if len(waits) == 2:
                web.start()
        return False

    given = others.CREDENTIALS["banqup"]
    folder = tmp_path / "bank"
    folder.mkdir()
    config = Config(
        folder=str(folder), client_id=given["client_id"], client_secret=given["client_secret"], automatic=False
    )
    with Simulator(config, sleep=wait) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca.pem"))
        monkeypatch.setenv("RECEIVER_DATABASE_URL", database_url)
        monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
        yield running


def receiver(*words: str, given: str = "") -> Any:
    return CliRunner().invoke(main, words, input=given, prog_name="receiver")


def book(bank: Simulator, status: str, payment_id: str = "pay-1") -> Payment:
    made = Payment(
        payment_id,
        EXAMPLE_SPACE,
        Decimal("100.00"),
        "EUR",
        ("INSUFFICIENT_FUNDS",),
        Script.of((status, 0)),
        datetime.now(UTC),
    )
    bank.bank.payments.put(payment_id, made)
    return made


def tell(bank: Simulator, status: str) -> Any:
    state = book(bank, status).state(status)
    (record,) = bank.outbox.send(message("payment", "pay-1", bank.options.now, {}, state))
    return record


def payment(parts: Runtime) -> Any:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return payments.find(connection, "banqup", "payment", "pay-1")


def test_from_registering_the_listener_to_the_final_status(
    parts: Runtime, web: WebServer, bank: Simulator, waits: list[float]
) -> None:
    credentials = json.dumps(others.CREDENTIALS["banqup"])
    where = ("--base-url", bank.url, "--option", "token_in=path", "--credentials", "-")
    assert receiver("source", "add", "banqup", "--bank", "banqup", *where, given=credentials).exit_code == 0
    refused = receiver("source", "register", "banqup", "--url", web.url)
    assert (refused.exit_code, "no secret" in refused.stderr) == (1, True)
    assert receiver("secret", "set", "banqup", given=TOKEN).exit_code == 0
    registered = receiver("source", "register", "banqup", "--url", web.url)
    assert registered.exit_code == 0, registered.output
    assert TOKEN not in registered.output
    assert bank.bank.listener == f"{web.url}/webhooks/banqup/{TOKEN}"

    # Nobody listens at first; the bank tries again until the receiver is up.
    record = tell(bank, "RECEIVED")
    assert [attempt.status for attempt in record.attempts] == [None, None, 200]
    assert len(waits) == 2

    worker = Worker(parts)
    assert worker.run_once() == 1
    assert (payment(parts).status, payment(parts).bank_status) == ("pending", "RECEIVED")

    # PAID, but only informational: it may still change, and does.
    assert tell(bank, "PAID INFORMATIONAL").accepted
    assert worker.run_once() == 1
    found = payment(parts)
    assert (found.status, found.bank_status, found.agreement) == ("pending", "PAID INFORMATIONAL", "unconfirmed")
    assert found.due_at is not None
    assert tell(bank, "FAILED").accepted
    assert worker.run_once() == 1
    found = payment(parts)
    assert (found.status, found.bank_status, found.agreement, found.due_at) == ("rejected", "FAILED", "confirmed", None)


def test_what_the_bank_s_api_holds_back_is_said_in_words(parts: Runtime, bank: Simulator, web: WebServer) -> None:
    others.add(parts, "banqup", TOKEN, base_url=bank.url, token_in="path", space=EXAMPLE_SPACE)
    web.start()
    receiver("source", "register", "banqup", "--url", web.url)
    tell(bank, "PAID")
    for access, empty, outcome, words in (
        ("forbidden", "object", "forbidden", "not enabled for this app"),
        ("not-whitelisted", "object", "empty", "whitelist"),
        ("not-whitelisted", "list", "empty", "whitelist"),
        ("not-whitelisted", "nothing", "empty", "whitelist"),
    ):
        bank.options.change({"access": access, "empty": empty})
        shown = receiver("payments", "check", "banqup", "pay-1", "--json")
        check = json.loads(shown.stdout)["checks"][-1]
        assert (check["outcome"], words in check["detail"]["error"]) == (outcome, True), shown.output
    bank.options.change({"access": "granted"})

    # Every token is worthless of a sudden: one new one is fetched, and the question put once more.
    bank.bank.tokens.expire_all()
    shown = json.loads(receiver("payments", "check", "banqup", "pay-1", "--json").stdout)
    assert (shown["checks"][-1]["outcome"], shown["status"]) == ("answered", "completed")

    # With another secret at the bank, no token is given out.
    bank.options.change({"client_secret": "another"})
    bank.bank.tokens.expire_all()
    shown = json.loads(receiver("payments", "check", "banqup", "pay-1", "--json").stdout)
    assert (shown["checks"][-1]["outcome"], shown["status"]) == ("unauthorised", "completed")
