"""Native threads, under gevent too: for calls that block in the operating system, and for work beside the requests."""

import _thread
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, TypeVarTuple, cast

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

Given = ParamSpec("Given")
Givens = TypeVarTuple("Givens")
Returned = TypeVar("Returned")


def run_in_thread(function: Callable[Given, Returned], *args: Given.args, **kwargs: Given.kwargs) -> Returned:
    """Call a function that blocks, and return or raise what it does.

    Under gevent all requests of a process share one thread, and each would wait for this call: so a native thread
    makes it, and only the caller waits. Elsewhere the caller's own thread makes it. What `start_native_thread` says of
    locks holds here too: so nothing that opens a transaction.
    """
    return _OF_WORK.call(lambda: function(*args, **kwargs))


def commit_in_thread(commit: Callable[[], None]) -> None:
    """Call what commits, as `run_in_thread` does; it waits for no other call, since all writers wait for it."""
    _OF_COMMITS.call(commit)


class _Threads:
    """Up to so many native threads of each process, for one use; gevent's own are left to look up names.

    A look-up may hang for long, and ten of them take all of gevent's.
    """

    def __init__(self, number: int) -> None:
        """Start none yet; a process that is forked has none, and starts its own."""
        self._number = number
        self._pool: ThreadPool | None = None
        os.register_at_fork(after_in_child=self._forget)

    def call(self, function: Callable[[], Returned]) -> Returned:
        if not _under_gevent():
            return function()

        def call() -> tuple[Returned | None, BaseException | None]:
            # Errors are handed over as values: the pool would print those that it sees.
            try:
                return function(), None
            except BaseException as error:
                return None, error

        # It is false while it does nothing.
        pool = self._begin() if self._pool is None else self._pool
        returned, error = pool.apply(call)
        if error is not None:
            raise error
        return cast(Returned, returned)

    def _begin(self) -> "ThreadPool":
        from gevent.threadpool import ThreadPool

        self._pool = ThreadPool(self._number)
        return self._pool

    def _forget(self) -> None:
        self._pool = None


_OF_WORK = _Threads(10)

_OF_COMMITS = _Threads(1)
"""A database has one commit at a time."""


def start_native_thread(function: Callable[[*Givens], None], *args: *Givens) -> None:
    """Have a thread of the operating system call a function; it ends with the process, wherever it is then.

    Nothing in it may wait for a lock of `threading` or log: under gevent these belong to the thread of the requests.
    """
    start = _original("_thread", "start_new_thread") if _under_gevent() else _thread.start_new_thread
    start(function, args)


def give_way() -> None:
    """Let the other requests of this process have their turn, in the middle of what takes long."""
    if _under_gevent():
        import gevent

        gevent.sleep(0)


def native_sleep(seconds: float) -> None:
    """Sleep in a native thread."""
    sleep = _original("time", "sleep") if _under_gevent() else time.sleep
    sleep(seconds)


def _original(module: str, name: str) -> Callable[..., object]:
    """Return what gevent has replaced."""
    from gevent import monkey

    return cast(Callable[..., object], monkey.get_original(module, name))


def _under_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")
