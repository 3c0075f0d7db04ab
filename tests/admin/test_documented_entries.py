"""Every kind of entry in the audit log is described in the docs, and the docs describe no other."""

import re

from servers import ROOT

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
