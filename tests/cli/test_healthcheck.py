"""`receiver healthcheck`: 0 where the server on this machine is ready, 1 with the reason where it is not."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from certificates import new_certificate
from cli.commands import Cli
from conftest import KEY
from servers import WebServer, environment, free_port


@pytest.fixture
def web(database_url: str) -> Iterator[WebServer]:
    started = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING")).start()
    yield started
    started.stop()


def test_a_server_that_is_ready_is_healthy(cli: Cli, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.done("healthcheck", "--url", web.url) == ""
    monkeypatch.setenv("PORT", str(web.port))
    for bind in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - where it would listen; it does not
        monkeypatch.setenv("RECEIVER_BIND", bind)
        assert cli.done("healthcheck") == ""


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_over_https_no_certificate_is_asked_for(cli: Cli, database_url: str, tmp_path: Path) -> None:
    certificate, key = new_certificate(tmp_path)
    more = {"RECEIVER_TLS_CERTIFICATE": str(certificate), "RECEIVER_TLS_KEY": str(key)}
    web = WebServer(environment(database_url, KEY, **more), scheme="https").start()
    try:
        assert cli.done("healthcheck", "--url", web.url) == ""
    finally:
        web.stop()


def test_where_nobody_listens_it_fails_in_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    for words in ((), ("--url", f"http://127.0.0.1:{free_port()}"), ("--url", f"unix:{tmp_path}/no.sock")):
        result = cli.run("healthcheck", *words)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: /readyz: no answer (")
        assert result.stderr.count("\n") == 1


class Unready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"detail":"The database is unavailable.\x1b[2J"}\n')

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "here"


class OverSocket(UnixStreamServer, HTTPServer):
    def server_bind(self) -> None:
        UnixStreamServer.server_bind(self)


@pytest.mark.parametrize("kind", ["http", "unix"])
def test_a_server_that_is_not_ready_is_not_healthy_and_why_is_said(cli: Cli, tmp_path: Path, kind: str) -> None:
    if kind == "http":
        server: HTTPServer = ThreadingHTTPServer(("127.0.0.1", 0), Unready)
        url = f"http://127.0.0.1:{server.server_port}"
    else:
        server = OverSocket(f"{tmp_path}/web.sock", Unready)
        url = f"unix:{tmp_path}/web.sock"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        result = cli.run("healthcheck", "--url", url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert result.exit_code == 1
    assert "answered 503" in result.stderr
    assert "The database is unavailable." in result.stderr
    assert "\x1b" not in result.stderr


NO_ADDRESSES = ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:x", "http://127.0.0.1:65536"]
NO_ADDRESSES += [
    "http://é..x:1",
    "https://..",
    f"http://{'a' * 64}.example",
    "http://[::1",
    "http://[x]:1",
    "http://\ud800x",
]


@pytest.mark.parametrize("url", NO_ADDRESSES, ids=ascii)
def test_what_is_no_address_is_wrong_use(cli: Cli, url: str) -> None:
    assert cli.run("healthcheck", "--url", url).exit_code == 2


@pytest.mark.parametrize(
    "url", ["unix:", f"unix:/{'a' * 200}", "http://[fe80::1%25none]:1", "http://a b:1", "http://:1"]
)
def test_what_nobody_can_listen_on_ends_in_one_line(cli: Cli, url: str) -> None:
    result = cli.run("healthcheck", "--url", url)
    assert result.exit_code in (1, 2)
    assert result.stderr.splitlines()[-1].startswith("Error: ")
