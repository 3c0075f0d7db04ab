"""Where the web server listens: what the setting says, or one line that names it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from certificates import new_certificate
from conftest import KEY, add_source
from servers import ROOT, WebServer, environment, free_port

from receiver import runtime
from receiver.runtime import Runtime
from receiver.server.listening import check_listening
from receiver.settings import Settings, SettingsError, load_settings


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


def reading(bind: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    monkeypatch.setenv("RECEIVER_BIND", bind)
    return load_settings()


@pytest.mark.parametrize(
    ("bind", "listens_at", "url"),
    [
        ("::", "[::]:8000", "http://[::]:8000/"),
        ("[::1]", "[::1]:8000", "http://[::1]:8000/"),
        ("0.0.0.0", "0.0.0.0:8000", "http://0.0.0.0:8000/"),  # noqa: S104 - a setting that is read
        ("localhost", "localhost:8000", "http://localhost:8000/"),
        ("unix:/run/x.sock", "unix:/run/x.sock", "/, over the unix socket /run/x.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock", "/, over the unix socket /run/x.sock"),
    ],
)
def test_an_address_is_read_as_it_is_meant(
    bind: str, listens_at: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reading(bind, monkeypatch)
    assert (read.listens_at, read.where("/")) == (listens_at, url)


WRONG = ["127.0.0.1:9", "[::1]:9", "256.1.1.1", "127.0.0", "http://127.0.0.1", "fd://3", "tcp://127.0.0.1", "a b", "*"]
WRONG += ["unix:", "unix:x.sock", "unix:/run/", f"unix:/{'a' * 107}"]


@pytest.mark.parametrize("bind", WRONG, ids=lambda text: text[:20])
def test_what_is_no_address_is_refused_in_one_line(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^RECEIVER_BIND is wrong \(.*\); it takes: an address without a port.*$"):
        reading(bind, monkeypatch)


@pytest.mark.parametrize("bind", ["192.0.2.1", "nowhere.invalid", "unix:/nowhere/x.sock", "unix:/etc/hostname"])
def test_what_this_machine_can_not_listen_on_ends_the_start_in_one_line(bind: str, sqlite_url: str) -> None:
    served = environment(sqlite_url, KEY, RECEIVER_BIND=bind, PORT=str(free_port()))
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    ended = subprocess.run(command, env=served, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"receiver: RECEIVER_BIND is wrong ({bind}")


def test_a_port_that_is_in_use_and_a_socket_that_nobody_listens_on_are_no_wrong_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        read = reading("127.0.0.1", monkeypatch)
        check_listening(read.model_copy(update={"port": other.getsockname()[1]}))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{tmp_path}/x.sock")
        check_listening(read.model_copy(update={"bind": f"unix:{tmp_path}/x.sock"}))


@pytest.fixture
def parts(sqlite_url: str) -> Iterator[Runtime]:
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=sqlite_url))
    add_source(started)
    yield started
    started.database.close()


def test_callbacks_are_taken_on_a_socket_in_the_file_system(
    parts: Runtime, live_bank: BankSigner, tmp_path: Path
) -> None:
    path = tmp_path / "x.sock"
    served = environment(parts.settings.database_url, KEY, RECEIVER_BIND=f"unix:{path}", RECEIVER_PROCESSES="2")
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    process = subprocess.Popen(command, env=served, cwd=ROOT)
    try:
        ends = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < ends
            time.sleep(0.05)
        signed = live_bank.sign(deposit(transactionId="FT1"))
        headers = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
        head = f"POST {signed.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(signed.body)}\r\n"
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(60)
            caller.connect(str(path))
            caller.sendall(f"{head}{headers}\r\n".encode() + signed.body)
            answer = b"".join(iter(lambda: caller.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"accepted"' in answer
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_https_is_served_from_files_with_a_byte_order_mark_and_comments(parts: Runtime, tmp_path: Path) -> None:
    certificate, key = new_certificate(tmp_path)
    bare = certificate.read_bytes()
    certificate.write_bytes("\ufeff# für Zürich\n".encode() + bare)
    key.write_bytes(b"\xef\xbb\xbf" + key.read_bytes())
    tls = {"RECEIVER_TLS_CERTIFICATE": str(certificate), "RECEIVER_TLS_KEY": str(key)}
    server = WebServer(environment(parts.settings.database_url, KEY, **tls), scheme="https").start()
    try:
        (tmp_path / "ca.pem").write_bytes(bare)
        answer = requests.get(f"{server.url}/healthz", verify=str(tmp_path / "ca.pem"), timeout=60)
        assert answer.status_code == 200
    finally:
        server.stop()
