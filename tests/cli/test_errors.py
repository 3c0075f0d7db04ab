"""Which failures end a command with one line, and which show where the bug is."""

import importlib
import inspect
import pkgutil

import click
import pytest
from click.testing import CliRunner

import receiver
from receiver.cli.context import FailsInOneLine
from receiver.model import ReceiverError
from receiver.store.encryption import DecryptionFailed

SIGNALS = {
    "BodyTooLarge",
    "CodingBroken",
    "CodingNotSupported",
    "Ended",
    "FaultFailed",
    "FeedRefused",
    "GivenTwice",
    "KeysNotKnown",
    "LeaseLost",
    "LeftOut",
    "NonceReused",
    "NotDescribed",
    "NotOurs",
    "NotUnderstood",
    "Problem",
    "SourceUnknown",
    "StepFailed",
    "TryLater",
    "WriteLockTimeout",
}
"""What our own code always deals with before a command ends, or what is a bug; and what the client, which imports
nothing of ours, raises in the programs of others."""


def ended(error: Exception) -> click.testing.Result:
    @click.group(cls=FailsInOneLine)
    def commands() -> None:
        """Commands."""

    @commands.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(commands, ["fail"])


def test_an_expected_failure_is_one_line() -> None:
    result = ended(DecryptionFailed("no key opens it"))
    assert (result.exit_code, result.output) == (1, "Error: no key opens it\n")


def test_a_bug_shows_where_it_is() -> None:
    bug = LookupError("not thought of")
    result = ended(bug)
    assert result.exception is bug
    assert result.output == ""


def _exceptions() -> list[type[Exception]]:
    found: list[type[Exception]] = []
    for module in pkgutil.walk_packages(receiver.__path__, "receiver."):
        if module.name.endswith(".gunicorn_config") or ".simulator" in module.name or ".migrations" in module.name:
            continue
        classes = filter(inspect.isclass, vars(importlib.import_module(module.name)).values())
        found += [kind for kind in classes if issubclass(kind, Exception) and kind.__module__ == module.name]
    return found


@pytest.mark.parametrize("kind", _exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_is_expected_or_is_a_signal_of_our_own(kind: type[Exception]) -> None:
    assert issubclass(kind, ReceiverError) is not (kind.__name__ in SIGNALS)
