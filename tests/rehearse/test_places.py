"""Where a rehearsal may take place: on this machine alone, in a database of its own, of which nothing is left."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rehearse.rehearsed import assert_well, databases, left_over, rehearse

from receiver.cli import main
from receiver.rehearse import day, place, rehearsal
from receiver.rehearse.databases import NotLoopback, PlaceUnusable, PostgresDatabase, local_url
from receiver.rehearse.faults import Fault, length_seconds
from receiver.server import throwaway
from receiver.store.postgresql import postgresql_engine


@pytest.fixture(autouse=True)
def environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command lets go of what is about other receivers, in this very process here: afterwards it is back."""
    for name in [name for name in os.environ if throwaway.OF_OTHERS.fullmatch(name)]:
        monkeypatch.delenv(name)


ELSEWHERE = [
    "postgresql://receiver@db.example/postgres",
    "postgresql+psycopg://receiver@192.0.2.7/postgres",
    "postgresql://receiver@0.0.0.0/postgres",
    "postgresql://127.0.0.1,192.0.2.7/postgres",
    "postgresql://127.0.0.1/postgres?hostaddr=192.0.2.7",
    "postgresql://[2001:db8::7]/postgres",
    "postgresql:///postgres?service=live",
    "postgresql:///postgres",
    # The one that checks and the one that opens read these in two ways.
    "postgresql+psycopg://u@/live?host=192.0.2.7&host=127.0.0.1",
    "postgresql+psycopg://127.0.0.1:a/b@db.example/x",
    "postgresql+psycopg://127.0.0.1:5432/b@db.example/x",
    "postgresql+psycopg://127.0.0.1?application_name=a:b@db.example/x",
]

HERE = [
    "postgresql://receiver@127.0.0.1:5432/postgres",
    "postgresql+psycopg://receiver@localhost/postgres",
    "postgresql://receiver@[::1]/postgres",
    "postgresql:///postgres?host=/run/postgresql",
    "sqlite:////srv/copy.db",
]


@pytest.mark.parametrize("url", HERE)
def test_what_is_on_this_machine_is_taken(url: str) -> None:
    assert local_url(local_url(url)) == local_url(url)


@pytest.mark.parametrize("url", [url for url in HERE if url.startswith("postgresql")])
def test_what_is_opened_is_what_was_checked(url: str) -> None:
    opened = local_url(url)
    said = conninfo_to_dict(url.replace("+psycopg", ""))
    assert conninfo_to_dict(opened.replace("+psycopg", "")) == said
    engine = postgresql_engine(opened)[0]
    given = engine.dialect.create_connect_args(engine.url)[1]
    assert {name: str(value) for name, value in given.items() if name in said} == said


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_is_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(NotLoopback):
        local_url(url)


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("option", ["--database=postgresql --database-url", "--day=2026-03-04 --from-database"])
def test_the_command_refuses_what_is_elsewhere_before_it_does_anything(option: str, url: str) -> None:
    # By standard input: on the command line one of them has a password.
    ended = CliRunner().invoke(main, ["rehearse", "--to", "never", *option.split(), "-"], input=f"{url}\n")
    assert ended.exit_code == 1
    assert "Error: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not Path("never").exists()


WRONG_USE: list[tuple[list[str], str]] = [
    (["--fault", "earthquake"], "'earthquake' is no kind of fault; there are retention, forgeries"),
    (["--fault", "kill@25:00"], "'25:00' is no hour such as 10:30"),
    (["--fault", "kill@"], "'' is no hour"),
    (["--fault", "kill", "--no-faults"], "leave --all-faults and --no-faults out"),
    (["--database", "postgresql"], "--database-url go together"),
    (["--database-url", "postgresql://127.0.0.1/x"], "--database-url go together"),
    (["--database", "postgresql", "--database-url", "postgresql://u:p@127.0.0.1/x"], "a password on the command line"),
    (
        ["--database", "postgresql", "--database-url", "postgresql://u@127.0.0.1/x?password=p"],
        "a password on the command line",
    ),
    (
        ["--day=2026-03-04", "--from-database", "postgresql+psycopg://u@127.0.0.1/x?sslpassword=p"],
        "a password on the command line",
    ),
    (
        ["--day=2026-03-04", "--from-database", "postgresql+psycopg://u@127.0.0.1:x/y"],
        "--from-database: the PostgreSQL URL's port is no number",
    ),
    (["--day=2026-03-04", "--from-database", "mysql://127.0.0.1/y"], "--from-database: a database is sqlite:///PATH"),
    (["--minutes", "nan"], "'nan' is no number"),
    (["--from-database", "sqlite:///x.db"], "--from-database needs --day"),
    (["--day", "2026-03-04"], "give --from-database"),
    (["--source", "bcb"], "give --from-database"),
    (
        ["--from-database", "sqlite:///x.db", "--day", "2026-03-04", "--callbacks", "5"],
        "--callbacks is for a made-up day",
    ),
    (["--minutes", "0"], "--minutes"),
    (["--folder", "nowhere"], "nowhere"),
    (["--to", "/proc/report"], "--to: nothing can be written to '/proc/report'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_USE)
def test_wrong_use_is_2_and_says_why(words: list[str], said: str) -> None:
    ended = CliRunner().invoke(main, ["rehearse", *words])
    assert ended.exit_code == 2
    assert said in ended.stderr


def test_a_database_that_is_not_there_is_not_made(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    ended = CliRunner().invoke(main, ["rehearse", "--from-database", url, "--day", "2026-03-04"])
    assert ended.exit_code == 1
    assert "none.db" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "at"), [("kill@00:00", 0), ("database@10:30", 37_800), ("bank-down@23:59", 86_340), ("rotation", 50_400)]
)
def test_a_fault_is_written_as_kind_and_hour(text: str, at: float) -> None:
    assert Fault.parse(text) == Fault(text.partition("@")[0], at)


def test_a_fault_lasts_for_a_thirtieth_within_bounds() -> None:
    assert [length_seconds(seconds) for seconds in (30, 300, 86_400)] == [2, 10, 30]


OF_OTHERS = (
    "RECEIVER_ALERT_URLS",
    "BCB_CLIENT_ID",
    "PGHOSTADDR",
    "PGSERVICE",
    "https_proxy",
    "PORT",
    "GUNICORN_CMD_ARGS",
    "PROMETHEUS_MULTIPROC_DIR",
    "WEB_CONCURRENCY",
    "SIMULATOR_CLIENT_SECRET",
)


def test_nothing_of_another_receiver_reaches_the_rehearsal(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in OF_OTHERS:
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PGPASSFILE", "mine")
    served = place.Receiver(tmp_path, "sqlite:///x.db", 1).environment
    assert "elsewhere" not in served.values()
    assert served["PGPASSFILE"] == "mine"
    assert served["RECEIVER_BIND"] == "127.0.0.1"


def test_a_folder_that_was_there_stays_where_nothing_is_rehearsed(tmp_path: Path) -> None:
    refused = ["rehearse", "--database=postgresql", "--database-url=postgresql://u@127.0.0.1:1/x", "--to"]
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        assert CliRunner().invoke(main, [*refused, str(tmp_path / name)]).exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture
def role(postgres: str) -> Iterator[Callable[[str], str]]:
    """Makes a role that is no superuser; the URL of the server as this role sees it."""
    made: list[str] = []

    def make(may: str) -> str:
        made.append(f"receiver_rehearsal_{may.lower()}_{os.getpid()}")
        execute(postgres, f"CREATE ROLE {made[-1]} LOGIN {may}")
        parts = {name: text for name, text in conninfo_to_dict(postgres).items() if name in ("host", "port")}
        return f"postgresql://{made[-1]}@/postgres?{urlencode(parts)}"

    yield make
    for name in made:
        execute(postgres, f"DROP ROLE {name}")


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_a_postgresql_database_of_its_own_comes_goes_away_and_is_dropped(
    postgres: str, role: Callable[[str], str]
) -> None:
    before = databases(postgres)
    made = PostgresDatabase(role("CREATEDB"))
    address = made.url.replace("postgresql+psycopg://", "postgresql://")
    try:
        assert len(databases(postgres) - before) == 1
        with psycopg.connect(address) as held:
            held.execute("CREATE TABLE a (b int)")
            held.commit()
            with made.gone():
                with pytest.raises(psycopg.OperationalError):
                    held.execute("SELECT 1")
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(address)
        psycopg.connect(address).close()
    finally:
        made.drop()
    assert databases(postgres) == before


def test_a_database_goes_away_whatever_session_of_another_it_may_not_end(
    postgres: str, role: Callable[[str], str]
) -> None:
    """PostgreSQL's own, such as autovacuum's, is one: here a superuser's stands for it."""
    made = PostgresDatabase(role("CREATEDB"))
    address = made.url.replace("postgresql+psycopg://", "postgresql://")
    try:
        with (
            psycopg.connect(make_conninfo(postgres, dbname=made.name)) as others,
            psycopg.connect(address) as own,
            made.gone(),
        ):
            with pytest.raises(psycopg.OperationalError):
                own.execute("SELECT 1")
            others.execute("SELECT 1")
    finally:
        made.drop()


def test_who_may_make_no_database_is_said_so(role: Callable[[str], str]) -> None:
    with pytest.raises(PlaceUnusable, match="PostgreSQL refused CREATE DATABASE: permission denied"):
        PostgresDatabase(role("NOCREATEDB"))


def test_another_program_at_the_port_is_not_taken_for_the_receiver(tmp_path: Path) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    receiver = place.Receiver(tmp_path, f"sqlite:///{tmp_path}/x.db", 1)
    with ThreadingHTTPServer(("127.0.0.1", receiver.port), Ready) as other:
        thread = threading.Thread(target=other.serve_forever, args=[0.05])
        thread.start()
        try:
            with pytest.raises(PlaceUnusable, match="another program answers at"):
                receiver.start("token", lambda: False)
        finally:
            receiver.stop()
            other.shutdown()
            thread.join()


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_on_postgresql_the_command_drops_its_database(postgres: str, tmp_path: Path) -> None:
    before = databases(postgres)
    url = postgres.replace(":@", "@")
    words = ("--minutes=0.1", "--callbacks=20", "--no-faults", "--database=postgresql", "--database-url", url)
    ended, found = rehearse(tmp_path, *words)
    assert_well(ended, found)
    assert found["database"] == "postgresql"
    assert databases(postgres) == before
    assert left_over(tmp_path) == []


@pytest.mark.timeout(1200)
def test_what_could_not_be_cleared_away_is_wrong_and_the_report_is_there(
    postgres: str, role: Callable[[str], str]
) -> None:
    before = databases(postgres)

    def take_it(at: float, _: str) -> None:
        """Once it runs, the database becomes another one's, whom alone it may be dropped by."""
        if at > 0:
            for name in databases(postgres) - before:
                execute(postgres, f"ALTER DATABASE {name} OWNER TO CURRENT_USER")

    plan = rehearsal.Plan(day.made_up(5), 6.0, [], role("CREATEDB"), processes=1)
    outcome = rehearsal.run(plan, take_it)
    (left,) = databases(postgres) - before
    execute(postgres, f"DROP DATABASE {left}")
    assert len(outcome.answers) == 5
    (said,) = outcome.wrong
    assert said.startswith(f"the database {left} could not be dropped: PostgreSQL refused DROP DATABASE")
    assert "must be owner" in said
