"""Passwords of staff: argon2id (RFC 9106), one at a time in a process, beside the requests in a native thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from receiver.model import ReceiverError
from receiver.store.thread_pool import run_in_thread

CHARACTERS_MIN = 12
BYTES_MAX = 1024

WAITING_MAX = 4
"""Who wait for their turn; beyond that nobody does."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class PasswordWeak(ReceiverError):
    """A password is not taken: the text says what is."""


class PasswordsBusy(ReceiverError):
    """Too many passwords are looked at just now (the pages' 429)."""


class _Turns:
    """One at a time has its turn, and few wait for theirs; of one address one at a time in all."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._inside: list[str] = []

    @contextmanager
    def of(self, address: str) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends.

        Raises:
            PasswordsBusy
        """
        with self._counting:
            if len(self._inside) > WAITING_MAX or (address and address in self._inside):
                raise PasswordsBusy("Too many people sign in at once: try it in a moment.")
            self._inside.append(address)
        try:
            with self._turn:
                yield
        finally:
            with self._counting:
                self._inside.remove(address)


@cache
def turns() -> _Turns:
    """Return the turns of this process; made at first use, since a server replaces locks while it starts."""
    return _Turns()


def check(password: str, name: str) -> None:
    """Accept a password that is long enough, and not the person's name.

    Raises:
        PasswordWeak
    """
    if len(password) < CHARACTERS_MIN or len(password.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        raise PasswordWeak(f"a password takes {CHARACTERS_MIN} characters or more, and up to {BYTES_MAX} bytes")
    if len(set(password)) < CHARACTERS_MIN // 3 or name.lower() in password.lower():
        raise PasswordWeak("this password is too easy to guess: it repeats few characters, or holds the person's name")


def hashed(password: str) -> str:
    """Return what is stored in a password's place, in the PHC string format.

    Raises:
        PasswordsBusy
    """
    with turns().of(""):
        return run_in_thread(_hasher.hash, password.encode("utf-8", "surrogatepass"))


def is_right(stored: str | None, password: str) -> bool:
    """Tell whether a password is the one; takes as long where there is none. Only to be called within a turn."""
    given = password.encode("utf-8", "surrogatepass")[: BYTES_MAX + 1]
    try:
        return run_in_thread(_hasher.verify, stored or _of_nobody(), given) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Tell whether a password was stored with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def renewed(password: str) -> str:
    """Return what is stored, with today's parameters. Only to be called within a turn."""
    return run_in_thread(_hasher.hash, password.encode("utf-8", "surrogatepass"))


@cache
def _of_nobody() -> str:
    return run_in_thread(_hasher.hash, b"nobody has this password")
