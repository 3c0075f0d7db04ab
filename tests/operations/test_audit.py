"""`make audit`: red on a known advisory, not because nobody answers, and not green where nothing was asked."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from operations.installations import locked
from servers import ROOT, free_port

ADVISORY = {
    "id": "PYSEC-2026-1",
    "details": "made up",
    "summary": "made up",
    "aliases": ["CVE-2026-1"],
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class Service(ThreadingHTTPServer):
    """An advisory service that speaks OSV's protocol, on loopback."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 200
        self.known: dict[str, dict[str, Any]] = {}
        self.page: bytes | None = None
        """What it answers in place of an answer, as a proxy does; cut off in the middle where it is empty."""
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.add(name)
        found = self.server.known.get(name)
        body = (
            json.dumps({"vulns": [found]} if found else {}).encode() if self.server.page is None else self.server.page
        )
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body) or 100))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield started
        started.shutdown()


def audit(url: str, *words: str) -> tuple[int, str]:
    command = [
        sys.executable,
        str(ROOT / ".ci" / "audit.py"),
        "--vulnerability-service",
        "osv",
        "--osv-url",
        url,
        *words,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_it_asks_about_each_package_of_the_lock(service: Service) -> None:
    code, said = audit(service.url)
    number = len(service.asked)
    assert (code, said) == (0, f"0 known advisories against {number} packages of requirements.lock.\n")
    # Some are for other systems.
    assert service.asked <= locked("requirements.lock")
    assert len(service.asked) > 30


def test_a_known_advisory_fails_it_unless_it_is_passed_over(service: Service) -> None:
    service.known["flask"] = ADVISORY
    code, said = audit(service.url)
    assert (code, said.count("\n")) == (1, 2)
    assert "PYSEC-2026-1, CVE-2026-1; mended in 99.0" in said
    assert audit(service.url, "--ignore-vuln", "CVE-2026-1")[0] == 0


def test_a_service_that_is_ill_or_away_fails_nothing_and_is_told(service: Service) -> None:
    service.status = 500
    for url in (service.url, f"http://127.0.0.1:{free_port()}/"):
        code, said = audit(url)
        assert code == 0
        assert said.startswith("skipped: the advisory service did not answer (")


@pytest.mark.parametrize("page", [b"<html>Sign in to this network</html>", b""], ids=["a page", "cut off"])
def test_an_answer_that_is_none_fails_nothing_and_is_told(service: Service, page: bytes) -> None:
    service.page = page
    code, said = audit(service.url)
    assert (code, said.startswith("skipped: the advisory service did not answer")) == (0, True), said


def test_an_audit_that_can_not_be_made_fails(service: Service) -> None:
    code, said = audit(service.url, "--no-such-option")
    assert code == 1
    assert "--no-such-option" in said
