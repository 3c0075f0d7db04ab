"""The house as docs/architecture.md draws it: which room may import which, what stands where, and what is no name.

Every import counts, those inside functions and those for the type checker alone too.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from servers import ROOT

PACKAGE = "receiver"

LEVELS = (
    ("__init__", "client"),
    ("model",),
    ("signing",),
    ("settings", "logs", "metrics"),
    ("store",),
    ("runtime",),
    ("banks",),
    ("projection", "bank_client"),
    ("inbox", "feed", "reconcile"),
    ("credentials", "replay", "retention"),
    ("worker",),
    ("admin",),
    ("web",),
    ("server",),
    ("demo", "rehearse"),
    ("cli",),
)
"""The rooms, ground floor first: a room imports from those below it alone, and not from its neighbours."""

SIMULATOR = "simulator"
OF_SIMULATOR = {"signing"}
"""The simulator is a thing of its own: this is all it takes from us, and commands alone may start it."""

ABOVE_SIMULATOR = {"demo", "rehearse", "cli"}

HOMES = {
    "flask": {"web", "server", SIMULATOR},
    "werkzeug": {"web", "server", SIMULATOR},
    "gunicorn": {"server"},
    "click": {"cli", "demo", SIMULATOR},
    "sqlalchemy": {"settings", "store", "inbox", "reconcile", "credentials", "replay", "retention", "worker", "admin"},
    "sqlmodel": {"store"},
    "prometheus_client": {"metrics"},
    "opentelemetry": {"metrics"},
}
"""Where a library may be imported: rooms, or single modules."""

FOR_TYPES = {"sqlalchemy": {"Connection", "Row"}}
"""What of a library may be named everywhere, since nothing is built with it."""

TABLES = f"{PACKAGE}.store.tables"

NEUTRAL = {"worker", "inbox", "web", "bank_client"}
"""Rooms that name no bank."""

BANKS = re.compile(r"(?<![a-z])(bcb|banking[_ ]?circle|connect[_ ]?pay|banqup)(?![a-z])", re.IGNORECASE)

NO_NAMES = {"told", "kept", "patience", "natively", "parcel", "parcels", "fittings", "book", "door", "wish", "contest"}
NO_NAMES |= {"peers", "elements", "complaint", "hiding", "again"}
"""Words that said too many things, or nothing that a reader would search for."""

GIVEN_NAMES = {"index_elements", "told_at"}
"""Names of SQLAlchemy's; and a name in what is stored."""

EXAMPLES = {"examples", "filter"}
"""Arguments with examples of what a user has, such as a source that is called as its bank."""

MODULES_AT_TOP_MAX = 6
FILES_MAX = 376
"""200 when the house was built; a capability may add the files that each tell one thing of its own.

Migrations do not count: nobody reads through them, and only more can be added."""
SIMULATOR_FILES_MAX = 50

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True)
class Import:
    """One name imported by a module; `module` is one of ours, or the library."""

    importer: str
    module: str
    name: str


class House:
    """The source tree of a package, and what there is in it to find fault with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees = {_name(root, file): ast.parse(file.read_text()) for file in sorted(root.rglob("*.py"))}

    @cached_property
    def imports(self) -> list[Import]:
        return [found for module, tree in self.trees.items() for found in self._imports_of(module, tree)]

    def _imports_of(self, module: str, tree: ast.Module) -> Iterator[Import]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Import(module, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(module, node)
                for alias in node.names:
                    whole = f"{origin}.{alias.name}"
                    yield Import(module, whole, "") if whole in self.trees else Import(module, origin, alias.name)

    def _origin(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        is_package = (self.root.parent / Path(*module.split(".")) / "__init__.py").exists()
        parts = module.split(".") if is_package else module.split(".")[:-1]
        return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])

    def ours(self) -> Iterator[tuple[str, str]]:
        """Each import of ours, as the importing room and the imported one."""
        for found in self.imports:
            if found.module.split(".")[0] == PACKAGE:
                yield _room(found.importer), _room(found.module)

    def upward(self) -> Iterator[str]:
        """Imports of a room that does not stand below, such as `feed > web`."""
        level = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
        for importer, imported in self.ours():
            if importer == imported:
                continue
            if importer == SIMULATOR:
                is_fine = imported in OF_SIMULATOR
            elif imported == SIMULATOR:
                is_fine = importer in ABOVE_SIMULATOR
            elif importer == "client" or imported == "client":
                is_fine = False
            else:
                is_fine = importer in level and imported in level and level[imported] < level[importer]
            if not is_fine:
                yield f"{importer} > {imported}"

    def circles(self) -> Iterator[str]:
        """A circle of modules, if there is one."""
        graph: dict[str, set[str]] = {module: set() for module in self.trees}
        for found in self.imports:
            if found.module in graph and found.module != found.importer:
                graph[found.importer].add(found.module)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield " > ".join(error.args[1])

    def libraries(self) -> Iterator[str]:
        """Libraries imported where they do not belong, such as `banks.bcb.api imports flask`."""
        for found in self.imports:
            library, room = found.module.split(".")[0], _room(found.importer)
            short = found.importer.removeprefix(f"{PACKAGE}.")
            homes = HOMES.get(library)
            if homes is None or room in homes or short in homes or found.name in FOR_TYPES.get(library, ()):
                continue
            yield f"{short} imports {library}"

    def tables(self) -> Iterator[str]:
        """Tables imported outside the store, where all queries over them belong."""
        for found in self.imports:
            if f"{found.module}.".startswith(f"{TABLES}.") and _room(found.importer) != "store":
                yield f"{found.importer.removeprefix(f'{PACKAGE}.')} imports tables"

    def banks_named(self) -> Iterator[str]:
        """Banks named in rooms that serve all of them alike, such as `web.events names bcb`."""
        for module, tree in self.trees.items():
            if _room(module) not in NEUTRAL:
                continue
            for text in (
                *_identifiers(tree),
                *_texts(tree),
                *(found.module for found in self._imports_of(module, tree)),
            ):
                for bank in BANKS.findall(text):
                    yield f"{module.removeprefix(f'{PACKAGE}.')} names {bank.lower()}"

    def bad_names(self) -> Iterator[str]:
        """Words that are no names, such as `Parcel in simulator.parcels`."""
        for module, tree in self.trees.items():
            short = module.removeprefix(f"{PACKAGE}.")
            for name in {*_identifiers(tree), module.rpartition(".")[2]} - GIVEN_NAMES:
                if NO_NAMES & {word.lower() for word in WORD.findall(name)}:
                    yield f"{name} in {short}"

    def sizes(self) -> Iterator[str]:
        """More files than a reader wants to look through."""
        read = [file for file in self.root.rglob("*.py") if file.parent.parent.name != "migrations"]
        counts = {
            "modules directly in it": (len(list(self.root.glob("*.py"))), MODULES_AT_TOP_MAX),
            "files": (len(read), FILES_MAX),
            "files of the simulator": (len(list((self.root / SIMULATOR).rglob("*.py"))), SIMULATOR_FILES_MAX),
        }
        for what, (number, most) in counts.items():
            if number > most:
                yield f"more than {most} {what}"


def _name(root: Path, file: Path) -> str:
    parts = (root.name, *file.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _identifiers(tree: ast.Module) -> Iterator[str]:
    """Every name that is given or used: of modules, classes, functions, arguments, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.MatchAs(name=str(name)):
                yield name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias():
                yield from (node.asname or node.name).split(".")
            case ast.ExceptHandler(name=str(name)):
                yield name


def _texts(tree: ast.Module) -> Iterator[str]:
    """Every string literal but those that stand alone (docstrings) and those in examples."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    examples = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in EXAMPLES]
    alone |= {id(inner) for node in examples for inner in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


RULES: dict[str, Callable[[House], Iterator[str]]] = {
    "upward imports": House.upward,
    "circles": House.circles,
    "libraries": House.libraries,
    "tables": House.tables,
    "banks named": House.banks_named,
    "names": House.bad_names,
    "sizes": House.sizes,
}


@cache
def our_house() -> House:
    return House(ROOT / PACKAGE)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_is_in_order(rule: str) -> None:
    assert list(RULES[rule](our_house())) == []


def built(folder: Path, files: Mapping[str, str]) -> House:
    """A made-up house of these modules."""
    root = folder / PACKAGE
    for name, text in {"__init__": "", **files}.items():
        file = root / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    return House(root)


SOUND = {
    "model": "from enum import StrEnum",
    "settings": "import os",
    "signing/rsa": "from receiver.model import Refusal",
    "store/events": "from sqlalchemy import insert\ninsert(x).on_conflict_do_nothing(index_elements=[])\nc = 'told'",
    "banks/bcb/api": "from receiver.banks.protocol import Bank\nNAME = 'bcb'",
    "banks/protocol": "from receiver.store import events",
    "inbox/inbox": "'What BCB sends, and others.'\nfrom sqlalchemy import Row\nfrom receiver import banks",
    "web/feed": "from sqlalchemy import Connection\nfrom ..store import events\nField(examples=['bcb'])",
    "simulator/command": "import click\nfrom receiver.signing import rsa",
    "cli/run": "import click\ndef run():\n    from receiver.simulator import command",
    "client": "import requests",
}

SPOILT: list[tuple[str, str, str, str]] = [
    ("upward imports", "store/events", "from receiver.web import feed", "store > web"),
    ("upward imports", "store/events", "def look():\n    import receiver.web.feed", "store > web"),
    (
        "upward imports",
        "store/events",
        "if TYPE_CHECKING:\n    import receiver.inbox.inbox",
        "store > inbox",
    ),
    ("upward imports", "store/events", "from ..web import feed", "store > web"),
    ("upward imports", "feed/reader", "from receiver.inbox import inbox", "feed > inbox"),
    ("upward imports", "model", "from receiver import settings", "model > settings"),
    ("upward imports", "elsewhere", "from receiver import model", "elsewhere > model"),
    ("upward imports", "client", "from receiver import model", "client > model"),
    ("upward imports", "web/feed", "from receiver import client", "web > client"),
    ("upward imports", "simulator/command", "from receiver import model", "simulator > model"),
    ("upward imports", "web/feed", "from receiver.simulator import command", "web > simulator"),
    ("circles", "banks/protocol", "from receiver.banks.bcb import api", "receiver.banks.bcb.api"),
    ("circles", "banks/protocol", "def ask():\n    from receiver.banks.bcb import api", "receiver.banks.bcb.api"),
    ("libraries", "inbox/inbox", "from flask import request", "inbox.inbox imports flask"),
    ("libraries", "admin/sources", "import click", "admin.sources imports click"),
    ("libraries", "web/feed", "import click", "web.feed imports click"),
    ("libraries", "web/feed", "from sqlalchemy import select", "web.feed imports sqlalchemy"),
    ("libraries", "web/feed", "import sqlalchemy.sql", "web.feed imports sqlalchemy"),
    ("libraries", "worker/loop", "import gunicorn.http", "worker.loop imports gunicorn"),
    ("tables", "web/feed", "from receiver.store.tables import Event", "web.feed imports tables"),
    ("banks named", "inbox/inbox", "from receiver.banks.banqup import BANK", "inbox.inbox names banqup"),
    ("banks named", "worker/loop", "if bank == 'banking_circle': pass", "worker.loop names banking_circle"),
    ("banks named", "web/feed", "BCB_HEADER = 1", "web.feed names bcb"),
    ("names", "store/events", "told = 1", "told in store.events"),
    ("names", "store/events", "class ParcelTable: pass", "ParcelTable in store.events"),
    ("names", "store/events", "def send_again(): pass", "send_again in store.events"),
    ("names", "store/events", "def send(*, kept): pass", "kept in store.events"),
    ("names", "store/events", "from x import y as wish", "wish in store.events"),
    ("names", "store/book", "", "book in store.book"),
]


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_found_in_a_house_that_is_in_order(tmp_path: Path, rule: str) -> None:
    assert list(RULES[rule](built(tmp_path, SOUND))) == []


@pytest.mark.parametrize(("rule", "module", "text", "fault"), SPOILT)
def test_what_is_out_of_order_is_found(tmp_path: Path, rule: str, module: str, text: str, fault: str) -> None:
    (found,) = set(RULES[rule](built(tmp_path, {**SOUND, module: text})))
    assert fault in found


def test_a_house_with_too_many_files_is_found(tmp_path: Path) -> None:
    many = {f"simulator/m{number}": "" for number in range(FILES_MAX)} | {f"m{number}": "" for number in range(7)}
    assert len(list(House.sizes(built(tmp_path, many)))) == 3
