"""Banking Circle as tests use it: sources whose bank is a simulator behind mutual TLS."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from conftest import add_encrypting_source, app_over
from encrypting_bank import EncryptingBank

from receiver.bank_client.session import BankSession
from receiver.banks.abilities import Account, KeepsAccounts
from receiver.projection.projector import catch_up
from receiver.reconcile import plan
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator
from receiver.store import feed, payments, sources
from receiver.store.sources import SourceRecord
from receiver.web.schemas.payments import PaymentInFull


def credentials(simulator: Simulator, pfx: Path | None = None, **changes: str | None) -> dict[str, str]:
    """The simulator's credentials as they are stored; `pfx` is another client certificate than the right one.

    What is changed to nothing (`None`) is left out.
    """
    files = simulator.certificates
    stored = {
        "username": "simulator-user",
        "password": "simulator-password",
        "certificate": base64.b64encode((pfx or files.client_pfx).read_bytes()).decode(),
        "passcode": "simulator-passcode",
        "ca_certificate": base64.b64encode(files.ca.read_bytes()).decode(),
        **changes,
    }
    return {name: value for name, value in stored.items() if value is not None}


def credentials_file(simulator: Simulator, **changes: str) -> dict[str, str]:
    """The same as an operator writes them into a file: with paths."""
    files = simulator.certificates
    return {
        "username": "simulator-user",
        "password": "simulator-password",
        "certificate": str(files.client_pfx),
        "passcode": "simulator-passcode",
        "caCertificate": str(files.ca),
        **changes,
    }


def add_source(parts: Runtime, simulator: Simulator, given: dict[str, str] | None = None) -> SourceRecord:
    """Add the source `bc`, with the simulator as its bank."""
    added = add_encrypting_source(parts)
    with parts.database.write() as connection:
        sources.change(connection, added.id, base_url=simulator.url)
        found = sources.find(connection, "bc")
        assert found is not None
        sources.set_credentials(connection, parts.encryption, found, given or credentials(simulator))
        found = sources.find(connection, "bc")
    assert found is not None
    return found


def control(simulator: Simulator, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
    """Call a control endpoint."""
    answer = requests.request(method, f"{simulator.control_url}/_simulator{path}", json=body or {}, timeout=30)
    assert answer.ok, answer.text
    return answer.json()


def accounts_of(access: BankSession) -> Sequence[Account]:
    """The accounts that the bank lists."""
    assert isinstance(access.bank, KeepsAccounts)
    return access.ask(access.bank.accounts)


def asked(simulator: Simulator, end: str) -> int:
    """How many requests there were whose path ends like this."""
    return sum(1 for seen in simulator.requests.entries() if seen.path.endswith(end))


def tell(parts: Runtime, *notifications: dict[str, Any]) -> list[str]:
    """Let the bank send a callback; return the events' ids."""
    signed = EncryptingBank().sign(list(notifications))
    answer = app_over(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers)
    assert answer.status_code == 200
    told: list[str] = (answer.json or {})["events"]
    return told


def state(parts: Runtime, payment_id: str) -> dict[str, Any]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        row = payments.find(connection, "bc", "payment", payment_id)
        assert row is not None
        return PaymentInFull.made(row, payments.checks_of(connection, row.id), plan.NextChecks(parts).of(row)).shown()


def feed_types(parts: Runtime) -> list[tuple[str, str | None]]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return [(entry.type, entry.subject) for entry in feed.read(connection, after=0, limit=100).entries]
