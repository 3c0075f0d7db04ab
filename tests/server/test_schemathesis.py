"""The running server against its own description: requests that fit it, requests that do not, and odd ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from bank import BankSigner, deposit, job
from conftest import KEY, add_source, make_token
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from servers import WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema
from receiver.web import create_app
from receiver.web.openapi import document
from receiver.web.schemas.feed import WAIT_SECONDS_MAX
from receiver.worker.loop import Worker

EXAMPLES = 50
SEED = 3

CHECKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
]
WITH_BODY = [*CHECKED, "negative_data_rejection"]
"""A query is all text, in which one value and a list of one are the same; `tests/web` has its wrong values."""

WAITS = {str(seconds) for seconds in range(1, WAIT_SECONDS_MAX + 1)}


def settings_of(database_url: str) -> Settings:
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


DESCRIBED = document(create_app(runtime.start(settings_of("sqlite:///unused.db"))), "")

description = schemathesis.openapi.from_dict(
    DESCRIBED,
    config=SchemathesisConfig(
        seed=SEED,
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(deterministic=True, max_examples=EXAMPLES, database="none")
            )
        ),
    ),
)


@dataclass
class App:
    """A downstream app with a token for everything."""

    url: str
    token: dict[str, str]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.url}/api/v1{path}", json=body, headers=self.token, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def plan(self) -> str:
        made: str = self.call("POST", "/replays", {"dry_run": True, "reason": "a test"})["plan"]
        return made

    def fill(self, bank: BankSigner) -> None:
        """Put events of every kind, a rejected delivery, a consumer and a replay into the receiver."""
        for body in (deposit(), deposit(transactionId="FT2"), deposit(transactionId="a/b"), job(), b"not understood"):
            signed = bank.sign(body)
            assert requests.post(self.url + signed.path, data=signed.body, headers=signed.headers, timeout=60).ok
        assert requests.post(f"{self.url}/webhooks/bcb", data=b"forged", timeout=60).status_code == 401
        page = self.call("GET", "/consumers/ledger/feed?limit=2")
        self.call("POST", "/consumers/ledger/ack", {"cursor": page["next"]})
        self.call("POST", "/replays", {"plan": self.plan()})

    def real(self) -> dict[str, str]:
        """What leads somewhere, by the example in the description that only shows a form."""
        event = self.call("GET", "/events?type=bcb.deposit&limit=1")["data"][0]["id"]
        replay = self.call("POST", "/replays", {"plan": self.plan()})["id"]
        cursor = self.call("GET", "/consumers/ledger/feed")["next"]
        return {
            "evt_01a1fe381c647449650ebf4481da": event,
            "rpl_01a1fe381c647449650ebf4481da": replay,
            DESCRIBED["components"]["schemas"]["Acknowledgement"]["examples"][0]["cursor"]: cursor,
        }


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Parts over the same database as the server."""
    path: Path = tmp_path_factory.mktemp("described") / "receiver.db"
    started = runtime.start(settings_of(f"sqlite:///{path}"))
    schema.upgrade(started.database, started.encryption)
    add_source(started)
    yield started
    started.database.close()


@pytest.fixture(scope="module")
def app(parts: Runtime) -> Iterator[App]:
    """A real server with one of each in it, and an app to read it."""
    server = WebServer(environment(parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR")).start()
    reading = App(server.url, make_token(parts))
    reading.fill(BankSigner(runtime.utc_now))
    Worker(parts).run_once()
    yield reading
    server.stop()


@pytest.fixture(scope="module")
def real(app: App) -> dict[str, str]:
    return app.real()


def test_the_server_describes_itself_so(app: App) -> None:
    assert requests.get(f"{app.url}/openapi.json", timeout=60).json() == DESCRIBED


@description.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
def test_the_server_answers_as_it_says(case: schemathesis.Case[Any], app: App, real: dict[str, str]) -> None:
    for given in (case.path_parameters, case.body):
        if isinstance(given, dict):
            given.update({name: real[value] for name, value in given.items() if value in list(real)})
    wait = str((case.query or {}).get("wait"))
    if wait in WAITS:
        # Where the longest is asked for, a second shows the same.
        case.query["wait"] = int(wait == str(WAIT_SECONDS_MAX))
    checks = WITH_BODY if isinstance(case.body, dict) else CHECKED
    case.call_and_validate(
        base_url=app.url,
        headers=app.token,
        checks=CHECKS.get_by_names(checks),  # type: ignore[arg-type]  # it takes all that the registry holds
    )
