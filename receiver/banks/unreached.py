"""Why no answer came from a bank, in words: no such name, refused, no time, a proxy, a broken connection."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies
from urllib3 import exceptions

_DEPTH_MAX = 10
"""Exceptions that stand for one another: libraries wrap one in several others."""

_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.NameResolutionError, "no address is known for this host (DNS)"),
    (socket.gaierror, "no address is known for this host (DNS)"),
    (ConnectionRefusedError, "the connection was refused: nothing listens there, or a firewall says no"),
    (exceptions.ConnectTimeoutError, "no connection came about in time: a firewall may drop it"),
    (requests.ConnectTimeout, "no connection came about in time: a firewall may drop it"),
    (exceptions.ReadTimeoutError, "connected, and no answer came in time"),
    (requests.ReadTimeout, "connected, and no answer came in time"),
    (exceptions.SSLError, "the TLS handshake failed"),
    (exceptions.ProtocolError, "the connection was closed before the answer was whole"),
    (ConnectionError, "the connection was closed before the answer was whole"),
    (OSError, "the network can't be reached"),
)
"""By kind; the first that is found among all that an error wraps."""


def cause(error: BaseException, url: str) -> str:
    """Return why a request to `url` got no answer; a proxy that it went through is named, without its password."""
    found = list(_wrapped(error))
    words = next((words for kind, words in _WORDS for one in found if _is(one, kind)), type(error).__name__)
    proxy = proxy_for(url)
    if proxy is None:
        return words
    blamed = any(isinstance(one, exceptions.ProxyError | requests.exceptions.ProxyError) for one in found)
    return f"{'at' if blamed else 'through'} the proxy {proxy}: {words}"


def _is(error: BaseException, kind: type[BaseException]) -> bool:
    # The library's own error is an OSError too, and says nothing of the network.
    return isinstance(error, kind) and not (kind is OSError and isinstance(error, requests.RequestException))


def _wrapped(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    if error is None or depth > _DEPTH_MAX:
        return
    yield error
    for one in (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__):
        if isinstance(one, BaseException):
            yield from _wrapped(one, depth + 1)


def proxy_for(url: str) -> str | None:
    """Return the proxy by which the environment has a URL asked for (`HTTPS_PROXY`, `NO_PROXY`).

    User and password are left out.
    """
    try:
        proxies: dict[str, str] = get_environ_proxies(url)
        parts = urlsplit(url)
    except ValueError:
        # It is no URL: nobody was asked.
        return None
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found:
        return None
    shown = urlsplit(found if "://" in found else f"http://{found}")
    host = shown.netloc.rpartition("@")[2]
    return f"{shown.scheme}://{'…@' if '@' in shown.netloc else ''}{host}"
