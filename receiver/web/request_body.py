"""Reading a request's body once, within the limit that its source has and a quota of what a process holds of them."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar
from wsgiref.types import InputStream, WSGIEnvironment

from werkzeug.wsgi import get_content_length

from receiver.inbox.decompression import BodyTooLarge
from receiver.inbox.inbox import TryLater
from receiver.model import CUT_SHORT
from receiver.signing import addresses
from receiver.signing.addresses import Network
from receiver.web.problems import Problem

Read = TypeVar("Read", bytes, list[bytes])

FIRST_BYTES, PIECE_BYTES = 16 * 1024, 256 * 1024
"""A body is read, and counted, piece by piece, each four times the one before it, so that who says that much comes and
sends little holds little."""

SHARE = 16
"""One client address may hold the sixteenth part of the quota besides its largest body, and small ones in any case."""

BUSY = "busy"
"""The reason for which a callback is to be sent again that there is no room for."""

UNREADABLE = "The body could not be read to its end."

UNPROVEN_AT_ONCE = 80
"""How many beginnings of bodies a process reads at a time though their heads were refused: each is written down."""


class Quota:
    """How many bytes a process holds at a time, and how many of them for one client address."""

    def __init__(self, most: int, trusted: Iterable[Network | str], *, free_bytes: int) -> None:
        """Take the quota, and the proxies, whose addresses have no share because they stand for many.

        A request holds `free_bytes` whatever its address has had.
        """
        self._most = most
        self._free_bytes = free_bytes
        self._share = most // SHARE
        self._trusted = tuple(trusted)
        self._lock = threading.Lock()
        self._held = 0
        self._holders: dict[str, set[Held]] = {}

    def take(self, holder: "Held", size: int) -> None:
        """Count bytes that are to be held.

        Raises:
            TryLater
        """
        with self._lock:
            if self._held + size > self._most:
                raise TryLater("too many bytes of callbacks at once", BUSY)
            holders = self._holders.setdefault(holder.party, set())
            holders.add(holder)
            is_free = holder.size + size <= self._free_bytes
            if not is_free and self._is_beyond(holders, holder, size) and self._has_share(holder):
                raise TryLater("too many bytes of callbacks from one address at once", BUSY)
            self._held += size
            holder.size += size

    def _is_beyond(self, holders: Iterable["Held"], growing: "Held", size: int) -> bool:
        """Tell whether an address had more than its share then, the largest of its bodies left out."""
        sizes = [holder.size + (size if holder is growing else 0) for holder in holders]
        return sum(sizes) - max(sizes) > self._share

    def _has_share(self, holder: "Held") -> bool:
        return holder.has_share and not addresses.is_trusted(holder.peer, self._trusted)

    def give_back(self, holder: "Held", size: int) -> None:
        """Count bytes that are held no longer."""
        with self._lock:
            self._held -= size
            holder.size -= size

    def leave(self, holder: "Held") -> None:
        """Forget a request that is answered."""
        with self._lock:
            self._held -= holder.size
            holder.size = 0
            holders = self._holders.get(holder.party, set())
            holders.discard(holder)
            if not holders:
                self._holders.pop(holder.party, None)


class Held:
    """What one request holds of a quota, until the block ends."""

    def __init__(self, quota: Quota, peer: str) -> None:
        self._quota = quota
        self.peer = peer
        self.party = addresses.party(peer)
        self.size = 0
        self.has_share = True
        """Its address is a stranger's: the source does not say where callbacks come from."""

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._quota.leave(self)

    def more(self, size: int) -> None:
        """Count bytes that are to be held besides.

        Raises:
            TryLater
        """
        if size > 0:
            self._quota.take(self, size)

    def keep(self, size: int) -> None:
        """Give back all but so many bytes."""
        if self.size > size:
            self._quota.give_back(self, self.size - size)

    def read(self, environ: WSGIEnvironment, length: int | None, limit: int) -> bytes:
        """Return the body, which is said to have `length` bytes.

        Raises:
            BodyTooLarge
            TryLater: too much is held already, or the server has stopped reading.
            Problem: it can't be read: broken chunks, or a sender that hung up.
        """
        body = self.read_beginning(environ, length, limit + 1 if length is None else length)
        if len(body) > limit:
            raise BodyTooLarge(f"more than {limit} bytes")
        return body

    def read_beginning(self, environ: WSGIEnvironment, length: int | None, most: int) -> bytes:
        """Return the body, which is said to have `length` bytes, or its first `most` bytes.

        Raises:
            TryLater
            Problem
        """
        # Of Flask's own server a read waits until so much has come.
        most = most if length is None else min(length, most)
        try:
            body = self._read(environ["wsgi.input"], most)
        except TryLater:
            raise
        except Exception as error:  # the server's own kinds, for broken chunks and for a sender that hung up
            _check_uncut(environ)
            raise Problem(400, UNREADABLE) from error
        if length is not None and len(body) < most:
            _check_uncut(environ)
            raise Problem(400, "The body is shorter than its Content-Length.")
        self.keep(len(body))
        return body

    def _read(self, stream: InputStream, most: int) -> bytes:
        if most <= FIRST_BYTES:
            self.more(most)
            return stream.read(most)
        # One buffer that becomes the result: a large body is not held twice.
        buffer, step = io.BytesIO(), FIRST_BYTES
        while (size := min(step, most - buffer.tell())) > 0:
            self.more(size)
            piece = stream.read(size)
            if not piece:
                break
            buffer.write(piece)
            step = min(4 * step, PIECE_BYTES)
        return buffer.getvalue()


class CheckedInput:
    """The body of a request that Flask reads: that it can't be read to its end is no fault of ours.

    Reading raises what `Held.read` does: `Problem` for broken chunks and for a sender that hung up, `TryLater` where
    the server has stopped reading.
    """

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self._stream: InputStream = environ["wsgi.input"]

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, or all that are left."""
        return self._checked(lambda: self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        """Return a line, or so many bytes of it."""
        return self._checked(lambda: self._stream.readline(size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Return the lines that are left."""
        return self._checked(lambda: list(self._stream.readlines(hint)))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readlines())

    def _checked(self, read: Callable[[], Read]) -> Read:
        try:
            return read()
        except Exception as error:  # the server's own kinds
            _check_uncut(self._environ)
            raise Problem(400, UNREADABLE) from error


class RequestBodies:
    """The bodies that all threads of a process hold."""

    def __init__(self, most: int, unproven_bytes: int, trusted: Iterable[Network | str]) -> None:
        """Take how many bytes may be held, how many of a body whose head was refused, and the trusted proxies."""
        self._quota = Quota(most, trusted, free_bytes=FIRST_BYTES)
        self._unproven = Quota(UNPROVEN_AT_ONCE * unproven_bytes, trusted, free_bytes=0)

    def holding(self, peer: str) -> Held:
        """Give what one request from this address holds."""
        return Held(self._quota, peer)

    def holding_unproven(self, peer: str) -> Held:
        """Give what one request holds whose head was refused."""
        return Held(self._unproven, peer)


def declared_bytes(environ: WSGIEnvironment, limit: int) -> int | None:
    """Return how many bytes a body is said to have, 0 where nothing is said (RFC 9112 section 6.3); none in chunks.

    Raises:
        BodyTooLarge
    """
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return 0
    length = get_content_length(environ)
    if length is not None and length > limit:
        raise BodyTooLarge(f"{length} bytes, {limit} allowed")
    return length


def _check_uncut(environ: WSGIEnvironment) -> None:
    """See that the end is not missing because of us: what is the sender's fault, a bank would not send again.

    Raises:
        TryLater
    """
    was_cut: Callable[[], bool] | None = environ.get(CUT_SHORT)
    if was_cut is not None and was_cut():
        raise TryLater("the server has stopped reading the request", "cut_short")
