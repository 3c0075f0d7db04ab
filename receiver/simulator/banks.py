"""Finds the simulated banks: each is a package in here that holds a `Config` and a `Simulator`."""

import pkgutil
from importlib import import_module
from typing import Any, Protocol

from receiver.simulator.server import BankServer


class BankPackage(Protocol):
    """What a bank's package holds: a frozen dataclass with a default for every field, and the server made with it."""

    @property
    def Config(self) -> type[Any]:  # noqa: N802 - the name of a class
        """How the bank is started."""

    def Simulator(self, config: Any, host: str, port: int, *, log_requests: bool) -> BankServer:  # noqa: N802
        """Return the bank, listening."""


def names() -> list[str]:
    """Return the names of all banks, in alphabetical order."""
    package = import_module("receiver.simulator")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)


def find(name: str) -> BankPackage:
    """Return the package of one of `names`."""
    found: BankPackage = import_module(f"receiver.simulator.{name}")
    return found
