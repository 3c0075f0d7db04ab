"""`make demo`, as a user runs it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import KEY
from servers import RECEIVER, environment, free_port
from tiny_bank import gives, serving

from receiver.demo.story import Ended, Ending, StepFailed, Story, stay

SCENES = ("HMAC-SHA256", "RSA-PSS", "background job", "once more", "forges", "hour later", "takes back")


def test_the_demo_tells_the_whole_story_and_ends_well() -> None:
    served = environment("sqlite:///unused.db", KEY, DEMO_EXIT="1", PORT=str(free_port()))
    told = subprocess.run([*RECEIVER, "demo"], env=served, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert all(scene in told.stdout for scene in SCENES)
    assert told.stdout.count("bank says") == len(SCENES)
    assert "Every step went as it must." in told.stdout


OF_OTHERS = {
    "GUNICORN_CMD_ARGS": "--bind=127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "no address",
    "SIMULATOR_CLIENT_SECRET": "another one",
    "WEB_CONCURRENCY": "none",
}


def test_nothing_of_the_environment_that_is_about_others_reaches_the_demo() -> None:
    served = environment("sqlite:///unused.db", KEY, DEMO_EXIT="1", PORT=str(free_port()), **OF_OTHERS)
    told = subprocess.run([*RECEIVER, "demo"], env=served, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_demo_reads_no_env_file_and_asks_no_bank_that_one_names(tmp_path: Path) -> None:
    served = environment("sqlite:///unused.db", KEY, DEMO_EXIT="1", PORT=str(free_port()))
    with serving() as bank:
        lines = {
            "BCB_CLIENT_ID": "client",
            "BCB_CLIENT_SECRET": "secret",
            "BCB_BASE_URL": bank.url,
            "RECEIVER_PUBLIC_PATH_PREFIX": "/bank",
            "RECEIVER_METRICS_DIRECTORY": tmp_path / "metrics",
        }
        (tmp_path / ".env").write_text("".join(f"{name}={text}\n" for name, text in lines.items()))
        told = subprocess.run(
            [*RECEIVER, "demo"], cwd=tmp_path, env=served, capture_output=True, text=True, timeout=120, check=False
        )
    assert bank.asked == []
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_demo_fails_where_a_step_goes_wrong() -> None:
    served = environment("sqlite:///unused.db", KEY, DEMO_EXIT="1", PORT=str(free_port()))
    broken = "from receiver.banks.bcb import api; api.PAYMENT_STATUSES.clear()"
    script = f"""
import receiver.server.supervisor as supervisor
supervisor.WORKER = (supervisor.RECEIVER[0], "-c", {broken!r} + "; from receiver.cli import main; main(['worker'])")
from receiver.demo import story
story.ANSWER_SECONDS = 5
from receiver.cli import main
main(["demo"])
"""
    told = subprocess.run(
        [RECEIVER[0], "-c", script], env=served, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 1
    assert "The demo failed" in told.stderr


@pytest.mark.parametrize("port", ["abc", "0", "70000", "9" * 5000])
def test_a_port_that_is_none_ends_the_demo_in_one_line_that_names_it(port: str) -> None:
    served = environment("sqlite:///unused.db", KEY, DEMO_EXIT="1", PORT=port)
    told = subprocess.run([*RECEIVER, "demo"], env=served, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert "PORT is wrong" in told.stderr
    assert "a TCP port, 1 to 65535" in told.stderr


@contextmanager
def not_ignored(number: signal.Signals) -> Iterator[None]:
    """Have processes that are started in the block hear a signal, even where the tests run under `nohup`."""
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("begins", "number", "given", "code"),
    [
        ("A bank is simulated at", signal.SIGINT, {"DEMO_EXIT": "1"}, 1),
        ("A bank is simulated at", signal.SIGHUP, {}, 1),
        ("Look around, and end it with Ctrl-C", signal.SIGTERM, {}, 0),
    ],
)
def test_what_ends_the_demo_leaves_nothing_and_is_well_only_after_the_story(
    tmp_path: Path, begins: str, number: signal.Signals, given: dict[str, str], code: int
) -> None:
    served = environment("sqlite:///unused.db", KEY, PORT=str(free_port()), TMPDIR=str(tmp_path), **given)
    with (
        not_ignored(number),
        subprocess.Popen(
            [*RECEIVER, "demo"], env=served, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        assert any(line.startswith(begins) for line in process.stdout)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, list(tmp_path.iterdir())) == (code, [])
    assert ("it was ended before the story was" in said, "Traceback" in said) == (code == 1, False)


@pytest.mark.parametrize("body", ["<html>", "[]"])
def test_an_answer_that_is_no_object_is_a_step_that_failed(body: str) -> None:
    with serving() as bank:
        gives(bank, 200, {"deliveries": [{"status": 502, "body": body, "tries": [{}]}]})
        with pytest.raises(StepFailed, match="was answered 502 what is no JSON object"):
            Story("http://127.0.0.1:1", bank.url, "token", "password", Ending()).tell()
        gives(bank, 200, body.encode())
        with pytest.raises(StepFailed, match="answered what is no JSON object"):
            Story("http://127.0.0.1:1", bank.url, "token", "password", Ending()).tell()


@pytest.mark.parametrize(("is_asked", "ends_as"), [(True, Ended), (False, StepFailed)])
def test_a_process_that_is_stopped_together_with_the_demo_is_no_failure(
    is_asked: bool, ends_as: type[Exception]
) -> None:
    process = subprocess.Popen(["true"])
    process.wait(60)
    story = Story("http://127.0.0.1:1", "http://127.0.0.1:2", "token", "password", Ending(is_asked))
    with pytest.raises(ends_as):
        stay(story, [process])
