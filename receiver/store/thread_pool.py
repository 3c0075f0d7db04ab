"""Calls that block in the operating system, such as a commit that waits for the disk."""

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def run_in_thread(function: Callable[Given, Returned], *args: Given.args, **kwargs: Given.kwargs) -> Returned:
    """Call a function that blocks, and return or raise what it does.

    Under gevent all requests of a process share one thread, and each would wait for this call: so a native thread
    makes it, and only the caller waits. Elsewhere the caller's own thread makes it.
    """
    if not _under_gevent():
        return function(*args, **kwargs)
    import gevent

    def call() -> tuple[Returned | None, BaseException | None]:
        # Errors are handed over as values: the pool would print those that it sees.
        try:
            return function(*args, **kwargs), None
        except BaseException as error:
            return None, error

    returned, error = gevent.get_hub().threadpool.apply(call)
    if error is not None:
        raise error
    return cast(Returned, returned)


def _under_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")
