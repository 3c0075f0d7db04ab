"""`receiver credentials rotate`, killed -9 at every step in turn, then run again: one rotation, one working secret.

The long form, on both databases, is `tests/drills/test_killed_rotations.py`.
"""

import subprocess

import pytest
from click.testing import CliRunner
from conftest import KEY, add_source
from credentials.callbacks import assert_in_step, post, signed_now
from credentials.killing import STEPS, drill, kill_at
from servers import RECEIVER, environment
from sqlalchemy import update

from receiver.cli import main
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.store.tables import CredentialChange, table_of


@pytest.fixture
def database_url(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """One kind of database, which commands in this process find too."""
    monkeypatch.setenv("RECEIVER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    return sqlite_url


def rotate() -> None:
    """Run the command in this process."""
    result = CliRunner().invoke(main, ["credentials", "rotate", "bcb"])
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_killed_at_a_step_and_run_again_ends_with_the_banks_one_secret(live: Runtime, step: str) -> None:
    drill(live, step, rotate)


@pytest.mark.parametrize("words", [("worker", "--once"), ("doctor",)], ids=["worker", "doctor"])
def test_what_a_killed_command_has_begun_is_finished_by(
    live: Runtime, database_url: str, words: tuple[str, ...]
) -> None:
    served = environment(database_url, KEY)
    with Simulator(Config(rate_limit=0)) as simulator:
        add_source(live, base_url=simulator.url)
        kill_at("before the commit", served, simulator)
        kept = signed_now(live, simulator)
        assert post(live, kept) == 503
        with live.database.write() as connection:
            # As if the head start of the killed one were over.
            connection.execute(update(table_of(CredentialChange)).values(due_at=live.clock()))
        ended = subprocess.run([*RECEIVER, *words], env=served, timeout=60, capture_output=True)
        assert ended.returncode == 0, ended.stdout
        assert simulator.bank.credentials.done["rotated"] == 1
        assert_in_step(live, simulator)
        assert post(live, kept) == 200
