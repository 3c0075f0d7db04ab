"""A rotation of credentials killed -9 at every step in turn, on both databases, the command a process both times."""

import subprocess

import pytest
from conftest import KEY
from credentials.killing import STEPS, drill
from servers import RECEIVER, environment

from receiver.runtime import Runtime


@pytest.mark.drill
@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_killed_at_a_step_and_run_again_ends_with_the_banks_one_secret(live: Runtime, step: str) -> None:
    served = environment(live.settings.database_url, KEY)
    command = [*RECEIVER, "credentials", "rotate", "bcb"]
    drill(live, step, lambda: subprocess.run(command, env=served, timeout=60, check=True, capture_output=True))
    print(f"{live.database.engine.dialect.name}: killed {step}, run again: one rotation, nothing refused")
