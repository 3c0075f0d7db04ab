"""A real worker process, killed -9 between the bank's answer and its commit."""

import signal
import subprocess
import sys
from decimal import Decimal

from bank import BankSigner, deposit
from conftest import KEY, add_source
from servers import RECEIVER, environment

from receiver.projection.projector import catch_up
from receiver.reconcile import plan
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.scripts import Script
from receiver.store import feed, payments
from receiver.web import create_app
from receiver.web.schemas.payments import PaymentInFull

DIES_BEFORE_ITS_COMMIT = """
import os, signal
from receiver.reconcile import checks
checks.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from receiver.cli import main
main(["worker", "--once"])
"""


def test_a_worker_killed_between_the_answer_and_its_commit_doubles_nothing(
    live: Runtime, database_url: str, live_bank: BankSigner
) -> None:
    served = environment(database_url, KEY, RECEIVER_LEASE_SECONDS="1")
    with Simulator(Config()) as simulator:
        add_source(live, base_url=simulator.url)
        script = Script.of(("Completed", 0))
        simulator.bank.add_payment(Payment("FT2384654NXF6", "1", Decimal(1000), "USD", script, live.clock()))
        signed = live_bank.sign(deposit())
        client = create_app(live).test_client()
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
        killed = subprocess.run([sys.executable, "-c", DIES_BEFORE_ITS_COMMIT], env=served, timeout=60)
        assert killed.returncode == -signal.SIGKILL
        for _ in range(20):
            subprocess.run([*RECEIVER, "worker", "--once"], env=served, timeout=60, check=True, capture_output=True)
            with live.database.read() as connection:
                row = payments.find(connection, "bcb", "payment", "FT2384654NXF6")
                assert row is not None
                made = payments.checks_of(connection, row.id)
            shown = PaymentInFull.made(row, made, plan.NextChecks(live).of(row)).shown()
            if shown["checks"]:
                break
        asked = [entry.path for entry in simulator.requests.entries() if entry.path.endswith("/status")]
    assert len(asked) == 2
    assert len(shown["checks"]) == 1
    catch_up(live.database)
    with live.database.read() as connection:
        types = [entry.type for entry in feed.read(connection, after=0, limit=10).entries]
    assert types == ["bcb.deposit", "payment.status_changed"]
