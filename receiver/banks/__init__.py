"""The banks, one package each. A package is a bank by holding `BANK`; nothing else lists them."""

import importlib
import pkgutil
from functools import cache

from receiver.banks.protocol import Bank
from receiver.model import ReceiverError


class BankNotKnown(ReceiverError):
    """There is no package for this bank."""


@cache
def every() -> dict[str, Bank]:
    """Return all banks by name."""
    packages = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    banks = (importlib.import_module(f"{__name__}.{name}").BANK for name in packages)
    return {bank.name: bank for bank in banks}


def named(name: str) -> Bank:
    """Return one bank.

    Raises:
        BankNotKnown
    """
    try:
        return every()[name]
    except KeyError:
        raise BankNotKnown(f"{name!r} is not a bank; there are: {', '.join(sorted(every()))}") from None
