"""Logging: one line an event; as text for a person at a terminal, as JSON for a collector."""

import json
import logging
import re
import sys
import time
from typing import Any, Literal

Format = Literal["text", "json"]


_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What steers a terminal: the sequences by which libraries colour their lines (ECMA-48), and any other control
character but a tab and the end of a line."""


class TextLines(logging.Formatter):
    """Lines for a person; they hold nothing that steers a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below it where there is one."""
        return _CONTROL.sub("", super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line; times are UTC (RFC 3339)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _CONTROL.sub("", record.getMessage()),
        }
        line |= getattr(record, IDS, {})
        if record.exc_info:
            line["exception"] = _CONTROL.sub("", self.formatException(record.exc_info))
        return json.dumps(line)


IDS = "ids"
"""The attribute of a record that holds what JSON has as fields of its own."""


def ids(**named: Any) -> dict[str, Any]:
    """Return what a line is about, for the argument `extra`: JSON has it as fields, text in its message alone."""
    return {IDS: named}


def configure(level: str, written_as: Format | None = None) -> None:
    """Log to standard error from `level` on; unless it is said, as text to a terminal and else as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    # A person at a terminal knows which day it is.
    when = "%H:%M:%S" if sys.stderr.isatty() else "%Y-%m-%dT%H:%M:%S%z"
    as_text = TextLines("%(asctime)s %(levelname)-7s %(message)s", datefmt=when)
    is_text = sys.stderr.isatty() if written_as is None else written_as == "text"
    handler.setFormatter(as_text if is_text else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These tell of every connection and statement, with addresses that may hold ids.
    for name in ("urllib3", "alembic", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of headers (`OTEL_EXPORTER_OTLP_HEADERS`) with their secrets; `receiver.metrics.traces` does so without.
    logging.getLogger("opentelemetry.util.re").setLevel(logging.CRITICAL)
