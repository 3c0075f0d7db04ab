"""Address lists behind real servers: who is believed to be whom."""

import http.client
import json
from urllib.parse import urlsplit

import others
import pytest
from conftest import KEY
from others import CONNECTPAY_ADDRESS, TOKEN, outgoing
from servers import WebServer, environment

from receiver.runtime import Runtime


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


def status(server: WebServer, *forwarded_for: str) -> int:
    """Send a callback with these lines of `X-Forwarded-For`, as they are."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    body = json.dumps(outgoing()).encode()
    connection.putrequest("POST", "/webhooks/connectpay")
    for name, value in (("x-connectpay-token", TOKEN), ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    for line in forwarded_for:
        connection.putheader("X-Forwarded-For", line)
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_forged_header_from_an_untrusted_peer_never_passes_the_list(database_url: str, live: Runtime) -> None:
    others.add(live, "connectpay", TOKEN)
    server = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING")).start()
    try:
        forged: tuple[list[str], ...] = (
            [CONNECTPAY_ADDRESS],
            [f"{CONNECTPAY_ADDRESS}, 127.0.0.1"],
            [CONNECTPAY_ADDRESS, CONNECTPAY_ADDRESS],
            [f"::ffff:{CONNECTPAY_ADDRESS}"],
            ["", CONNECTPAY_ADDRESS],
            [],
        )
        assert [status(server, *lines) for lines in forged] == [401] * len(forged)
    finally:
        server.stop()


def test_a_genuine_one_through_a_trusted_proxy_does_and_what_it_was_sent_before_does_not(
    database_url: str, live: Runtime
) -> None:
    others.add(live, "connectpay", TOKEN)
    trusted = environment(
        database_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_TRUSTED_PROXIES="127.0.0.0/8,10.0.0.0/8"
    )
    server = WebServer(trusted).start()
    try:
        genuine = (
            [CONNECTPAY_ADDRESS],
            [f"203.0.113.9, {CONNECTPAY_ADDRESS}"],
            [f"{CONNECTPAY_ADDRESS}, 10.0.0.5"],
            ["203.0.113.9", CONNECTPAY_ADDRESS],
            [f"::ffff:{CONNECTPAY_ADDRESS}"],
        )
        forged: tuple[list[str], ...] = (
            [],
            [f"{CONNECTPAY_ADDRESS}, 203.0.113.9"],
            [CONNECTPAY_ADDRESS, "203.0.113.9"],
            [f"{CONNECTPAY_ADDRESS}, unknown"],
            [f"{CONNECTPAY_ADDRESS}, 203.0.113.9, 10.0.0.5"],
            [f"{CONNECTPAY_ADDRESS};10.0.0.5"],
        )
        assert [status(server, *lines) for lines in genuine] == [200] * len(genuine)
        assert [status(server, *lines) for lines in forged] == [401] * len(forged)
    finally:
        server.stop()
