"""How tests run commands, and how they deliver what commands then tell of."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bank import Signed
from click.testing import CliRunner, Result
from servers import RECEIVER
from werkzeug.test import TestResponse

from receiver.cli import main

Send = Callable[[Signed], TestResponse]


@dataclass(frozen=True)
class Cli:
    """Runs commands as an operator types them."""

    def run(self, *words: str, given: str | bytes = "") -> Result:
        """Run a command in this process with `given` on standard input; a bug in it is raised here."""
        result = CliRunner().invoke(main, words, input=given, prog_name="receiver")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def done(self, *words: str, given: str | bytes = "") -> str:
        """Run a command that must succeed; return its standard output."""
        result = self.run(*words, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        """Run a command with `--json` and parse all that it writes."""
        return json.loads(self.done(*words, "--json"))

    def process(self, *words: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a process of its own."""
        return subprocess.run(
            [*RECEIVER, *words], input=given, capture_output=True, timeout=60, env={**os.environ, **environment}
        )
