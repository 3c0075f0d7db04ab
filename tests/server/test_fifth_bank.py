"""A fifth, made-up bank: one package below `receiver/banks/`, nothing else changed, and all of it works."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from conftest import KEY
from servers import ROOT, WebServer, environment

PASSWORD = "a-password-of-the-bank"

PACKAGE = '''
"""The Bank of Fifth: a password in the path, plain text for an answer, words of its own for every state."""

from receiver.banks import json_values, options
from receiver.banks.callback import Carried, Claim, Proof
from receiver.banks.protocol import Answer, Bank
from receiver.signing import static_token

WORDS = {"settled": "completed", "underway": "pending"}


class Fifth(Bank):
    name = "fifth"
    acknowledgement = "MERCI"
    credential_names = ("pin",)
    renews_tokens = False

    def check_options(self, given):
        return options.check(self.name, given, (options.word("vault"),))

    def check_secret(self, secret, options):
        static_token.check(secret, in_path=True)

    def proofs(self, options):
        return ("token",)

    def carried(self, options):
        return Carried(in_channel=True)

    def prove(self, callback, profile, now):
        shown = (callback.channel or "").encode()
        key = static_token.match(static_token.ids(profile.secrets), shown, hidden=callback.hidden)
        return Proof("token", key, callback.body)

    def read(self, proof):
        word, _, number = proof.content.decode().partition(" ")
        return [
            Claim(
                type="fifth.news",
                identity=(number, word),
                content=word,
                kind="payment",
                subject=number,
                payment_id=number,
                status=WORDS.get(word),
            )
        ]

    def new_token(self, client, credentials):
        return credentials["pin"], None

    def authorization(self, token, options):
        return {"X-Pin": token}

    def ask(self, client, kind, subject, facts):
        word = json_values.text(client.get(f"/{client.options['vault']}/{subject}"), "word")
        return Answer(word, WORDS[word])

    def register(self, client, listener_url):
        return client.post("/listeners", {"at": listener_url})["number"]

    def listener_path(self, options, secret):
        return f"/{secret}"


BANK = Fifth()
'''


COMMANDS = """
import json, sys
from click.testing import CliRunner
from receiver.cli import main
outputs = []
for words, given in json.load(sys.stdin):
    result = CliRunner().invoke(main, words, input=given, prog_name="receiver")
    if result.exit_code:
        sys.exit(result.output)
    outputs.append(result.stdout)
print(json.dumps(outputs))
"""

Command = tuple[tuple[str, ...], str]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it is, and one package more."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "receiver", folder / "receiver")
    for name in ("wsgi.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, folder)
    package = folder / "receiver" / "banks" / "fifth"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    return folder


@pytest.fixture
def api() -> Iterator[tuple[str, list[tuple[str, str | None, Any]]]]:
    """The bank's API, and what was asked of it: path, pin, body."""
    asked: list[tuple[str, str | None, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"word": "settled"}, None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer({"number": "L-5"}, body)

        def answer(self, told: dict[str, str], body: Any) -> None:
            asked.append((self.path, self.headers["X-Pin"], body))
            content = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_fifth_bank_takes_one_package_and_no_change_elsewhere(
    project: Path, sqlite_url: str, api: tuple[str, list[tuple[str, str | None, Any]]]
) -> None:
    base_url, asked = api
    settings = {**environment(sqlite_url, KEY, RECEIVER_LOG_LEVEL="WARNING"), "PYTHONPATH": str(project)}

    def receiver(*commands: Command) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-c", COMMANDS],
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=120,
            env=settings,
            cwd=project,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        outputs: list[str] = json.loads(ran.stdout)
        return outputs

    where = ("--base-url", base_url, "--option", "vault=north", "--credentials", "-")
    *_, text = receiver(
        (("source", "add", "five", "--bank", "fifth", *where), '{"pin": "1234"}'),
        (("secret", "set", "five"), PASSWORD),
        (("source", "register", "five", "--url", "https://receiver.example"), ""),
        (("source", "show", "five", "--json"), ""),
    )
    assert asked == [("/listeners", "1234", {"at": f"https://receiver.example/webhooks/five/{PASSWORD}"})]
    assert (json.loads(text)["proof"], json.loads(text)["bank"]) == ("token", "fifth")

    web = WebServer(settings, folder=project).start()
    try:
        for secret, expected in (("wrong-password-here", 401), (PASSWORD, 200)):
            answer = requests.post(f"{web.url}/webhooks/five/{secret}", data="underway P-1", timeout=60)
            assert answer.status_code == expected
        assert (answer.text, answer.headers["Content-Type"]) == ("MERCI", "text/plain")
        told = requests.get(f"{web.url}/openapi.json", timeout=60).json()["paths"]["/webhooks/{source}"]["post"]
        assert "MERCI" in told["responses"]["200"]["content"]["text/plain"]["schema"]["enum"]
    finally:
        web.stop()

    _, text, listed = receiver(
        (("worker", "--once"), ""),
        (("payments", "show", "five", "P-1", "--json"), ""),
        (("events", "list", "--json"), ""),
    )
    assert asked[1:] == [("/north/P-1", "1234", None)]
    payment = json.loads(text)
    assert (payment["status"], payment["bank_status"], payment["agreement"]) == ("completed", "settled", "confirmed")
    assert [(event["type"], event["proof"]) for event in json.loads(listed)] == [("fifth.news", "token")]
    assert "fifth" not in os.listdir(ROOT / "receiver" / "banks")
