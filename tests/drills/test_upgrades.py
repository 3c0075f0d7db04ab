"""An upgrade from the release before while its server takes callbacks: none is refused for good, lost or doubled.

The release before is the last commit of this repository with an older newest migration, as git has it: real old code.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from bank import SECRET, BankSigner
from conftest import KEY
from drills.ledger import assert_each_once, assert_whole, read_feed
from drills.readers import Consumer, Follower, reading
from drills.senders import Senders
from servers import RECEIVER, ROOT, WebServer, environment

from receiver import runtime
from receiver.admin import database as acts
from receiver.settings import Settings
from receiver.store import schema

VERSIONS = "receiver/store/migrations/versions/"

CREDENTIALS = '{"client_id": "c", "client_secret": "s"}'

BEFORE, AFTER = 60, 60
"""Callbacks that the old server is to have taken before the upgrade begins, and that come once it has ended."""


class GitFailed(Exception):
    """Git would not, or not in time; what it said."""


def git(*words: str, folder: Path = ROOT) -> str:
    asked = " ".join(["git", *words[:2]])
    try:
        ended = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"{asked}: {error}") from error
    if ended.returncode != 0:
        raise GitFailed(f"{asked} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout


def newest(commit: str, repository: Path = ROOT) -> str:
    """The newest migration of a commit."""
    listed = git("ls-tree", "--name-only", commit, VERSIONS, folder=repository)
    return max(re.findall(r"/([0-9]{4})_", listed), default="")


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the last commit whose database is an older one."""
    folder = tmp_path_factory.mktemp("before")
    unpack_before(folder)
    return folder


def unpack_before(folder: Path, repository: Path = ROOT) -> None:
    """Unpack the release before; skip where a repository can't have it, and fail in CI where it has to."""
    if not (repository / ".git").exists():
        pytest.skip("this is no git repository: there is no code of the release before")
    try:
        commits = git("rev-list", "--first-parent", "HEAD", folder=repository).split()
        is_shallow = git("rev-parse", "--is-shallow-repository", folder=repository).strip() != "false"
        head = schema.newest_revision()
        before = next((commit for commit in commits if newest(commit, repository) < head), None)
        if before is None or not newest(before, repository):
            raise GitFailed(f"none of {len(commits)} commits has the release before; shallow: {is_shallow}")
        packed = folder / "code.tar"
        git("archive", f"--output={packed}", before, folder=repository)
    except GitFailed as error:
        # Git that fails before it says so (dubious ownership, say) does not make a clone shallow.
        if "CI" in os.environ and not (repository / ".git" / "shallow").exists():
            pytest.fail(f"the code of the release before is not to be had: {error}")
        pytest.skip(f"the code of the release before is not to be had: {error}")
    subprocess.run(["tar", "-xf", packed, "-C", folder], check=True, timeout=60)


def command(folder: Path, served: dict[str, str], *words: str, given: str = "") -> str:
    """Run a command of the code in a folder; return what it writes."""
    ended = subprocess.run(
        [*RECEIVER, *words],
        cwd=folder,
        env=served,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/receiver.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def served(old_url: str) -> dict[str, str]:
    return environment(old_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_PROCESSES="2")


@pytest.fixture
def old(release_before: Path, served: dict[str, str], tmp_path: Path) -> Iterator[WebServer]:
    """The server of the release before, over its own tables, with the source `bcb`."""
    command(release_before, served, "db", "upgrade")
    command(release_before, served, "source", "add", "bcb", "--bank", "bcb", "--credentials", "-", given=CREDENTIALS)
    command(release_before, served, "secret", "set", "bcb", given=SECRET)
    # Not ours, whose description its answers need not fit.
    started = WebServer(served, folder=release_before, output=tmp_path / "old.log")
    with ExitStack() as ending:
        ending.callback(stop, started)
        yield started.start()


def stop(server: WebServer) -> None:
    """End it, whether it ever answered or not."""
    if server.process is not None:
        server.stop()


@pytest.mark.parametrize(("in_ci", "ends_by"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_git_that_fails_is_told_of_and_fails_in_ci(
    in_ci: str, ends_by: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.delenv("CI", raising=False)
    if in_ci:
        monkeypatch.setenv("CI", in_ci)
    with pytest.raises(ends_by, match=r"(?i)git rev-list --first-parent ended with 128: .*not a git repository"):
        unpack_before(tmp_path, tmp_path)
    # A clone that CI made so is no reason to fail.
    (tmp_path / ".git" / "shallow").touch()
    with pytest.raises(pytest.skip.Exception, match="git rev-list"):
        unpack_before(tmp_path, tmp_path)


@pytest.mark.parametrize("old_url", ["sqlite", "postgresql"], indirect=True)
def test_the_server_of_the_release_before_takes_callbacks_through_the_upgrade_until_the_new_one_does(
    old: WebServer, release_before: Path, served: dict[str, str], live_bank: BankSigner, tmp_path: Path
) -> None:
    token = {"Authorization": "Bearer " + command(release_before, served, "token", "create", "app").strip()}
    before = command(release_before, served, "db", "upgrade")
    follower, consumer = Follower(old.url, token), Consumer(old.url, token)
    numbers = range(100_000)
    with ExitStack() as ending:
        senders = ending.enter_context(Senders(old.url, live_bank, numbers, threads=4))
        senders.wait_for(BEFORE)
        for _ in range(3):
            follower.step()
            consumer.step()
        upgraded = command(ROOT, served, "db", "upgrade")
        assert upgraded != before
        # The old server over the new tables.
        senders.wait_for(senders.answered + AFTER)
        assert requests.get(f"{old.url}/healthz", timeout=30).status_code == 200
        new = WebServer(served, output=tmp_path / "new.log")
        ending.callback(stop, new)
        new.start()
        # As a balancer, or the bank's own retry, does: from now on they come to the new one.
        senders.url = follower.url = consumer.url = new.url
        senders.wait_for(senders.answered + AFTER)
        assert old.stop() == 0
        results = senders.stop()
        with reading(len(results), follower, consumer):
            pass
        entries = read_feed(new.url, token)
        assert follower.seen == consumer.seen == [entry["eventid"] for entry in entries]
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=served["RECEIVER_DATABASE_URL"]))
        ending.callback(parts.database.close)
        assert_each_once(parts, results, entries)
        assert_whole(parts)
        assert [checked.faults for checked in acts.check(parts)] == [()] * len(acts.CHECKS)
    for log in ("old.log", "new.log"):
        assert "Traceback" not in (tmp_path / log).read_text()
