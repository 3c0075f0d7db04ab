"""The banks, one package each, of the bank's name. A package is a bank by holding `BANK`; nothing else lists them.

A package is imported when its bank is asked for: they bring what it takes to talk to an API.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from receiver.model import ReceiverError

if TYPE_CHECKING:
    from receiver.banks.protocol import Bank
    from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)


class BankNotKnown(ReceiverError):
    """There is no package for this bank."""


@cache
def every() -> dict[str, Bank]:
    """Return all banks by name."""
    return {name: named(name) for name in names()}


@cache
def names() -> tuple[str, ...]:
    """Return the names of all banks, in order; imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


@cache
def named(name: str) -> Bank:
    """Return one bank.

    Raises:
        BankNotKnown
    """
    if name not in names():
        raise BankNotKnown(f"{name!r} is not a bank; there are: {', '.join(names())}")
    bank: Bank = importlib.import_module(f"{__name__}.{name}").BANK
    return bank


def with_known_banks(found: Iterable[SourceRecord]) -> list[SourceRecord]:
    """Return the sources whose banks there are; the others are logged, each once in a process.

    Whoever goes through all sources leaves those out: one whose bank was taken away since stops no other.
    """
    known = []
    for source in found:
        missing = missing_bank(source)
        if missing is None:
            known.append(source)
        elif source.hidden_at is None:
            _log_missing(source.name, missing)
    return known


def missing_bank(source: SourceRecord) -> str | None:
    """Return in words that there is no bank for a source (any more); none where there is."""
    if source.bank in names():
        return None
    return f"there is no bank {source.bank!r} here (any more): it is not asked, and callbacks get 503"


@cache
def _log_missing(source: str, words: str) -> None:
    log.error("source %s: %s", source, words)
