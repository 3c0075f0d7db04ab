"""Every kind of entry in the audit log is described in the docs, and the docs describe no other."""

import ast
import re

from servers import ROOT

from receiver.admin.event_story import ACTS
from receiver.store.audit import SUBJECTS

ROOMS = ("admin", "credentials", "replay")
WRITTEN = re.compile(
    r'"((?:source|secrets?|token|deliveries|replay|payment|job|payload|consumer|database|connectpay|subscription|exception|evidence|staff|sweep|day|event|retention)\.[a-z_]+)"'
)
CHANGES = {f"credentials.{kind}" for kind in ("create", "issue", "rotate", "disable")}


def test_the_docs_list_what_is_written() -> None:
    code = "".join(path.read_text() for room in ROOMS for path in (ROOT / "receiver" / room).glob("*.py"))
    assert 'f"credentials.{' in code, "changes of credentials are named after their kind"
    listed = (ROOT / "docs" / "commands.md").read_text().partition("### `receiver audit list`")[2].partition("###")[0]
    first_cells = "".join(re.findall(r"^\| (`.*?) \| ", listed, re.MULTILINE))
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", first_cells)) == set(WRITTEN.findall(code))
    assert all(change in listed for change in CHANGES)


def test_each_entry_that_names_an_event_has_words_in_its_story() -> None:
    naming = {written for written, name in SUBJECTS.items() if name == "event"}
    found = set()
    for path in (ROOT / "receiver" / "admin").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and _keys(function) & naming:
                found |= set(WRITTEN.findall(ast.unparse(function).replace("'", '"')))
    # Of an exception what it is about is a value, and so may be an event.
    assert found | {"exception.acknowledged", "exception.resolved"} == set(ACTS)


def _keys(function: ast.FunctionDef) -> set[str]:
    """The texts that are keys of dictionaries in a function."""
    keys = [key for node in ast.walk(function) if isinstance(node, ast.Dict) for key in node.keys]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}
