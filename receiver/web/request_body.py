"""Reading a request's body once, within the limit that its source has, with few large ones at a time."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from wsgiref.types import InputStream, WSGIEnvironment

from werkzeug.wsgi import get_content_length

from receiver.inbox.decompression import BodyTooLarge
from receiver.inbox.inbox import TryLater
from receiver.model import CUT_SHORT
from receiver.web.problems import Problem

PIECE_BYTES = 64 * 1024

LARGE_AT_ONCE = 3
"""Bodies beyond the usual limit that are held at a time: anybody can send one, and each may take 50 MB."""


class RequestBodies:
    """Reads bodies for all threads of a process."""

    def __init__(self, usual_bytes: int) -> None:
        """Take the limit for sources whose bank has none of its own."""
        self._usual_bytes = usual_bytes
        self._slots = threading.BoundedSemaphore(LARGE_AT_ONCE)

    def read_usual(self, environ: WSGIEnvironment) -> bytes | None:
        """Return the body of a request that says its length, where that is within the usual limit; else none.

        Raises:
            TryLater: the server has stopped reading.
            Problem: it can't be read: broken chunks, or a sender that hung up.
        """
        length = get_content_length(environ)
        if length is None or length > self._usual_bytes:
            return None
        return _read(environ, length, length)

    def reading(self, environ: WSGIEnvironment, limit: int) -> AbstractContextManager[bytes]:
        """Give the body of a request, of up to `limit` bytes; a large one keeps its slot until the block ends.

        Raises:
            BodyTooLarge
            TryLater: too many large bodies are being read already, or the server has stopped reading.
            Problem: it can't be read: broken chunks, or a sender that hung up.
        """
        length = get_content_length(environ)
        if length is not None and length > limit:
            raise BodyTooLarge(f"{length} bytes, {limit} allowed")
        if limit <= self._usual_bytes:
            return nullcontext(_read(environ, length, limit))
        return self._large(environ, length, limit)

    @contextmanager
    def _large(self, environ: WSGIEnvironment, length: int | None, limit: int) -> Iterator[bytes]:
        if not self._slots.acquire(blocking=False):
            raise TryLater("too many large callbacks at once")
        try:
            yield _read(environ, length, limit)
        finally:
            self._slots.release()


def _read(environ: WSGIEnvironment, length: int | None, limit: int) -> bytes:
    try:
        stream: InputStream = environ["wsgi.input"]
        most = limit + 1 if length is None else length
        body = stream.read(most) if most <= PIECE_BYTES else _in_pieces(stream, most)
    except Exception as error:  # the server's own kinds, for broken chunks and for a sender that hung up
        _check_uncut(environ)
        raise Problem(400, "The body could not be read to its end.") from error
    if len(body) > limit:
        raise BodyTooLarge(f"more than {limit} bytes")
    if len(body) < (length or 0):
        _check_uncut(environ)
        raise Problem(400, "The body is shorter than its Content-Length.")
    return body


def _check_uncut(environ: WSGIEnvironment) -> None:
    """See that the end is not missing because of us: what is the sender's fault, a bank would not send again.

    Raises:
        TryLater
    """
    was_cut: Callable[[], bool] | None = environ.get(CUT_SHORT)
    if was_cut is not None and was_cut():
        raise TryLater("the server has stopped reading the request")


def _in_pieces(stream: InputStream, length: int) -> bytes:
    """Read up to `length` bytes in pieces, into one buffer that becomes the result: a large body is not held twice."""
    buffer = io.BytesIO()
    while piece := stream.read(min(PIECE_BYTES, length - buffer.tell())):
        buffer.write(piece)
    return buffer.getvalue()
