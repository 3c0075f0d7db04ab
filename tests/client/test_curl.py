"""The lines of curl in docs/feed.md: they run as they stand, and read at least once."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from servers import RECEIVER, ROOT, WebServer

from receiver.runtime import Runtime
from receiver.store import consumers

BLOCK = re.compile(r"## With curl\n\n```bash\n(.*?)```", re.DOTALL)

# Keeps what it is given, fails at its first page, and ends it all with the page behind the third entry.
BOOK = """
sleep() { :; }
book() {
  printf '%s\\n' "$1" >> pages
  [ "$(wc -l < pages)" -gt 1 ] || return 1
  case "$1" in *'"position":3'*) ;; *'"data":[]'*) kill $$ ;; esac
}
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "sed", "curl"))), reason="needs bash, sed and curl")
def test_the_lines_of_curl_read_at_least_once(
    server: WebServer, live: Runtime, live_bank: BankSigner, tmp_path: Path
) -> None:
    for number in range(3):
        signed = live_bank.sign(deposit(transactionId=f"FT{number}"))
        assert requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60).ok
    (block,) = BLOCK.findall((ROOT / "docs/feed.md").read_text())
    assert len(block.splitlines()) <= 10
    command = tmp_path / ".venv" / "bin" / "receiver"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.join(RECEIVER)} "$@"\n')
    command.chmod(0o755)
    script = block.replace("http://127.0.0.1:8000", server.url).replace("limit=100&wait=25", "limit=2&wait=1")
    subprocess.run(
        ["bash", "-c", BOOK + script], cwd=tmp_path, env=dict(server.environment), timeout=60, capture_output=True
    )
    pages = [json.loads(line)["data"] for line in (tmp_path / "pages").read_text().splitlines()]
    assert [[entry["position"] for entry in page] for page in pages] == [[1, 2], [1, 2], [3], []]
    with live.database.read() as connection:
        assert consumers.position_of(connection, "ledger") == 3
