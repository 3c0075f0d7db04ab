"""Taking a callback in as WSGI hands it over (PEP 3333), and the short way there, past Flask's contexts."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson

from receiver.banks.callback import Callback
from receiver.inbox.directory import SourceUnknown
from receiver.runtime import Runtime
from receiver.web import peers
from receiver.web.bodies import Bodies
from receiver.web.outages import Outages
from receiver.web.problems import answer, problem

ROOT = "/webhooks/"

_OF_A_SOURCE = re.compile(f"{ROOT}[^/].*")
"""What Flask's route takes: `/webhooks/<path>`."""


class Door:
    """Where callbacks come in; any number of threads may."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts."""
        self._inbox = runtime.inbox()
        self._bodies = Bodies(runtime.settings.max_body_bytes)
        self._prefix = runtime.settings.public_path_prefix.encode()
        self._proxies = runtime.settings.trusted_proxies
        self._outages = outages

    def take(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Take one callback in, and return the answer once it is on disk.

        Raises:
            Exception: any that `receiver.web.problems.answer` has an answer to.
        """
        path = _raw_path(environ)
        if not path.startswith(ROOT):
            raise SourceUnknown(path)
        source, slash, channel = path.removeprefix(ROOT).partition("/")
        name = unquote(source)
        with self._bodies.reading(environ, lambda: self._inbox.body_limit(name)) as body:
            callback = Callback(
                method=environ["REQUEST_METHOD"].encode("latin-1"),
                path=self._prefix + path.encode("latin-1"),
                channel=channel if slash else None,
                headers=_headers(environ),
                body=body,
                peer=peers.address(
                    environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), self._proxies
                ),
            )
            verdict = self._inbox.accept(name, callback)
        if verdict.kind == "rejected":
            # RFC 9110 section 15.5.2 wants the header; what exactly was wrong is for staff alone.
            return problem(401, "The callback is not proven genuine.", {"WWW-Authenticate": "Signature"})
        self._outages.succeeded()
        if verdict.acknowledgement is not None:
            return _taken(verdict.acknowledgement.encode(), "text/plain")
        return _taken(orjson.dumps({"status": verdict.kind, "events": verdict.event_ids}), "application/json")


class ShortWay:
    """Hands callbacks to the door without Flask's request context, which they do not need; all else goes on to Flask.

    Flask's own route leads to the same door and would give the same answers, but a quarter fewer of them in a second.
    """

    def __init__(self, door: Door, outages: Outages, flask: WSGIApplication) -> None:
        """Take the door, and where all else goes."""
        self._door = door
        self._outages = outages
        self._flask = flask

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        if environ["REQUEST_METHOD"] != "POST" or not _OF_A_SOURCE.fullmatch(environ.get("PATH_INFO", "")):
            return self._flask(environ, start_response)
        try:
            answered = self._door.take(environ)
        except Exception as error:
            answered = answer(error, self._outages)
        return answered(environ, start_response)


def _taken(body: bytes, content_type: str) -> WSGIApplication:
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]

    def respond(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [body]

    return respond


def _raw_path(environ: WSGIEnvironment) -> str:
    """Return the path as it was sent, percent-encoding untouched, without the query: banks sign these bytes."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        return quote(environ["PATH_INFO"].encode("latin-1"))
    if not target.startswith("/"):
        target = urlsplit(target).path
    return str(target).partition("?")[0]


def _headers(environ: WSGIEnvironment) -> dict[str, bytes]:
    """WSGI carries header bytes as Latin-1 text; this gives the bytes back."""
    return {
        _name(name): value.encode("latin-1", "replace")
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return the name of the header that WSGI keeps under `key`, in lower case."""
    return key.removeprefix("HTTP_").replace("_", "-").lower()
