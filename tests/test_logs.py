"""Log lines: JSON or text as it is set, with the ids of what they are about, and nothing secret or personal."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from bank import SECRET, BankSigner, Signed, deposit
from conftest import StandingClock, add_source
from flask.testing import FlaskClient

from receiver import logs
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.web import create_app
from receiver.worker.loop import Worker


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what is logged does not depend on it."""
    return sqlite_url


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


def post(client: FlaskClient, signed: Signed) -> int:
    return client.post(signed.path, data=signed.body, headers=signed.headers).status_code


def test_the_setting_wins_over_what_standard_error_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("INFO", "text")
    logging.info("one %s", "line")
    assert capsys.readouterr().err.endswith(" INFO    one line\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("INFO", "json")
    logging.info("one %s", "line", extra=logs.ids(delivery="dlv_1"))
    (line,) = lines(capsys)
    assert (line["message"], line["delivery"], line["level"]) == ("one line", "dlv_1", "info")


@pytest.mark.parametrize("written_as", ["text", "json"])
def test_a_line_holds_nothing_that_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], written_as: logs.Format
) -> None:
    logs.configure("INFO", written_as)
    # As werkzeug warns of itself.
    logging.getLogger("werkzeug").info("\x1b[31m\x1b[1mWARNING: \x9b\x07\ttext\r\x1b[0m %s", "\x1b[38;5;1mä")
    try:
        raise ValueError("\x1b[2Jgone")
    except ValueError:
        logging.exception("failed")
    said = capsys.readouterr().err
    if written_as == "json":
        said = "\n".join(str(value) for line in said.splitlines() for value in json.loads(line).values())
    assert "WARNING: \ttext ä" in said
    assert "ValueError: gone" in said
    assert not any(character in said for character in "\x1b\x9b\x07\r")


def test_each_delivery_has_a_line_with_its_ids_and_nothing_of_what_it_holds(
    parts: Runtime, bank: BankSigner, clock: StandingClock, capsys: pytest.CaptureFixture[str]
) -> None:
    add_source(parts)
    client = create_app(parts).test_client()
    logs.configure("INFO", "json")
    signed = bank.sign(deposit())
    old = str(int(clock().timestamp()) - 3600)
    assert [
        post(client, signed),
        post(client, signed),
        post(client, Signed(signed.path, b"{}", signed.headers)),
        post(client, bank.sign(deposit(transactionId="FT7"), timestamp=old)),
        post(client, Signed(signed.path, b" " * 2_000_000, signed.headers)),
        post(client, bank.sign(deposit(), "/webhooks/somebody-s-guess")),
    ] == [200, 200, 401, 401, 413, 404]
    text = capsys.readouterr().err
    found = [json.loads(line) for line in text.splitlines()]
    assert [(line["verdict"], line["source"]) for line in found] == [
        (verdict, "bcb") for verdict in ("accepted", "duplicate", "rejected", "late", "refused")
    ]
    accepted, duplicate, rejected, _, _ = found
    assert accepted["events"] == duplicate["events"]
    assert str(accepted["delivery"]) in str(accepted["message"])
    assert rejected["reason"] == "signature_mismatch"
    for hidden in (SECRET, "1046406142", "1000.00", "Payment details", "guess"):
        assert hidden not in text


def test_each_check_and_each_chore_that_did_something_has_a_line(
    parts: Runtime, clock: StandingClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator(Config(rate_limit=0), clock=clock) as simulator:
        add_source(parts, base_url=simulator.url)
        assert post(create_app(parts).test_client(), BankSigner(clock).sign(deposit(transactionId="FT1"))) == 200
        logs.configure("INFO", "json")
        Worker(parts).run_once()
    found = lines(capsys)
    assert {"source": "bcb", "message": "the public keys of bcb were fetched"}.items() <= found[0].items()
    (check,) = [line for line in found if line.get("id") == "FT1"]
    assert (check["kind"], check["outcome"]) == ("payment", "not_found")
