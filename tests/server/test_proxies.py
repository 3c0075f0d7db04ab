"""Behind a proxy as docs/operations.md configures it: nginx and Caddy, to an address and to a unix socket."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import others
import pytest
import requests
from bank import BankSigner, Signed, deposit
from conftest import KEY, add_encrypting_source, add_source
from encrypting_bank import EncryptingBank, batch, notification
from others import TOKEN
from proxying import caddy, nginx, wait_for
from requests.adapters import HTTPAdapter
from servers import ROOT, WebServer, environment, free_port

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COMPOSED = (ROOT / "docs" / "operations" / "compose" / "nginx.conf").read_text()
LARGEST = 50 * 1024 * 1024
LISTED = "127.0.0.3"
"""The only address that the source `connectpay` takes callbacks from; the proxy itself has another."""


def documented(language: str) -> str:
    """The configuration in the docs."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", OPERATIONS, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    url = f"sqlite:///{tmp_path_factory.mktemp('proxied')}/receiver.db"
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    schema.upgrade(started.database, started.encryption)
    add_source(started)
    add_encrypting_source(started)
    others.add(started, "connectpay", TOKEN, allowed_addresses=[LISTED])
    yield started
    started.database.close()


@pytest.fixture(scope="module")
def unix_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket") / "web.sock"


@pytest.fixture(scope="module")
def receiver(parts: Runtime, unix_socket: Path) -> Iterator[WebServer]:
    """One that listens at an address and on a unix socket, and trusts a proxy at 127.0.0.1 and on the socket."""
    port = free_port()
    more = {
        "RECEIVER_LOG_LEVEL": "WARNING",
        "RECEIVER_TRUSTED_PROXIES": "127.0.0.1,unix",
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} --bind unix:{unix_socket}",
    }
    started = WebServer(environment(parts.settings.database_url, KEY, **more), port).start()
    yield started
    started.stop()


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=["nginx", "nginx on a unix socket", "caddy"])
def proxied(
    request: pytest.FixtureRequest, receiver: WebServer, unix_socket: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a proxy before the receiver, as documented but for the addresses."""
    program, _, on_socket = request.param.partition(" ")
    port = free_port()
    configuration = documented({"nginx": "nginx", "caddy": "caddyfile"}[program])
    upstream = f"unix:{unix_socket}" if on_socket else f"127.0.0.1:{receiver.port}"
    for place, other in (("127.0.0.1:8000", upstream), ("8080", str(port))):
        assert place in configuration
        configuration = configuration.replace(place, other)
    with PROXIES[program](tmp_path_factory.mktemp(program), configuration):
        wait_for(port)
        yield f"http://127.0.0.1:{port}"


def send(url: str, signed: Signed) -> requests.Response:
    request = requests.Request("POST", url, data=signed.body, headers=signed.headers).prepare()
    # As it stands: the library would write some paths another way.
    request.url = url + signed.path
    with requests.Session() as session:
        return session.send(request, timeout=60)


@pytest.mark.parametrize("path", ["/webhooks/bcb", "/webhooks/bcb/a%20b/%2F;c", "/webhooks/bcb//a", "/webhooks/%62cb"])
def test_the_path_comes_as_it_was_signed(proxied: str, live_bank: BankSigner, path: str) -> None:
    answer = send(proxied, live_bank.sign(deposit(), path))
    assert (answer.status_code, answer.json()["status"]) in ((200, "accepted"), (200, "duplicate"))


def sealed(size: int) -> Signed:
    """A genuine callback whose body has so many bytes."""
    rest = len(batch([notification(extra="")]).encode("utf-16-le"))
    signed = EncryptingBank().sign(batch([notification(extra="x" * ((size - rest) // 2))]))
    assert size - 2 < len(signed.body) <= size
    return signed


def test_the_largest_callback_that_a_bank_documents_passes(proxied: str) -> None:
    answer = send(proxied, sealed(LARGEST))
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")


def test_a_larger_one_is_refused(proxied: str) -> None:
    assert send(proxied, sealed(LARGEST + 4)).status_code == 413


class From(HTTPAdapter):
    """Sends from an address of loopback."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named, source_address=(self._address, 0))


@pytest.mark.parametrize(("address", "status"), [(LISTED, 200), ("127.0.0.4", 401)])
def test_the_sender_is_who_sends_to_the_proxy_whatever_it_says(proxied: str, address: str, status: int) -> None:
    with requests.Session() as session:
        session.mount("http://", From(address))
        headers = {"X-ConnectPay-Token": TOKEN, "X-Forwarded-For": "127.0.0.4" if status == 200 else LISTED}
        answer = session.post(f"{proxied}/webhooks/connectpay", json=others.outgoing(), headers=headers, timeout=30)
    assert answer.status_code == status


BREAKS_OFF = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/csv")])
    yield b"a line\\n"
    if environ["PATH_INFO"].endswith("/broken"):
        raise RuntimeError("the database went away between two pages")
"""


@pytest.fixture(scope="module")
def breaking_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The unix socket of our web server over an application whose answers have no length, and one breaks off."""
    folder = tmp_path_factory.mktemp("breaking-off")
    (folder / "gunicorn.conf.py").write_text((ROOT / "gunicorn.conf.py").read_text())
    (folder / "wsgi.py").write_text(BREAKS_OFF)
    port = free_port()
    more = {"GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} --bind unix:{folder}/web.sock"}
    given = environment(f"sqlite:///{folder}/receiver.db", KEY, **more)
    server = WebServer(given, port, folder=folder, output=folder / "log").start()
    yield f"unix:{folder}/web.sock"
    server.stop()


@pytest.mark.parametrize("configuration", [documented("nginx"), COMPOSED], ids=["documented", "compose"])
def test_nginx_does_not_end_an_answer_as_whole_that_broke_off(
    breaking_off: str, configuration: str, tmp_path: Path
) -> None:
    port = free_port()
    for place in ("http://127.0.0.1:8000", "http://unix:/run/receiver/web.sock"):
        configuration = configuration.replace(place, f"http://{breaking_off}")
    for listened, other in (("listen 8080", port), ("listen 8000", free_port())):
        configuration = configuration.replace(listened, f"listen 127.0.0.1:{other}")
    with nginx(tmp_path, configuration):
        wait_for(port)
        assert requests.get(f"http://127.0.0.1:{port}/webhooks/whole", timeout=30).text == "a line\n"
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(f"http://127.0.0.1:{port}/webhooks/broken", timeout=30)


def test_every_place_that_nginx_passes_on_speaks_http_1_1() -> None:
    for configuration in (documented("nginx"), COMPOSED):
        places = configuration.count("proxy_pass ")
        assert places
        assert configuration.count("proxy_http_version 1.1;") == places


def test_both_configurations_pass_what_the_receiver_takes() -> None:
    assert "client_max_body_size 50m;" in documented("nginx")
    assert "max_size 50MiB" in documented("caddyfile")
