"""Eight processes that need a token at once."""

import subprocess
import sys
from pathlib import Path

from banking_circle import add_source, asked
from conftest import KEY
from servers import environment

from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Config, Simulator

ASK = r"""
import os, sys
from receiver import runtime
from receiver.bank_client.session import BankSession
from receiver.settings import load_settings
from receiver.store import sources

started, go = os.pipe()
children = []
for _ in range(8):
    if child := os.fork():
        children.append(child)
        continue
    os.close(go)
    parts = runtime.start(load_settings())
    with parts.database.read() as connection:
        source = sources.find(connection, "bc")
    session = BankSession(parts, source)
    os.read(started, 1)  # ends when the parent closes its side: for all at once
    os.write(1, b"%d\n" % len(session.ask(session.bank.accounts)))
    os._exit(0)
os.close(go)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
"""Forked before any of them has opened the database, so that the modules are read once."""


def test_eight_processes_that_need_a_token_at_once_make_one_authorization_request(
    live: Runtime, database_url: str, tmp_path: Path
) -> None:
    with Simulator(Config(automatic=False, token_requests=1)) as simulator:
        add_source(live, simulator)
        ended = subprocess.run(
            [sys.executable, "-c", ASK],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=100,
            env=environment(database_url, KEY),
        )
        assert (ended.stdout, ended.stderr, ended.returncode) == ("3\n" * 8, "", 0)
        assert (asked(simulator, "/authorize"), asked(simulator, "/accounts")) == (1, 8)
