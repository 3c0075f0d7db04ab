"""What exists is documented; what is written holds no place or address of the machine that it was written on."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache

import click
import pytest
from conftest import KEY
from servers import ROOT

from receiver import runtime
from receiver.cli import main
from receiver.settings import Settings, environment_name
from receiver.store.search import LOOKED_AT_MAX
from receiver.web import create_app
from receiver.web.schemas.events import Event

MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if page.name != "adding-a-bank.md")
"""All but the one that names the files of a bank that is yet to be written."""
TARGETS = re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE)


@cache
def read(path: str) -> str:
    return (ROOT / path).read_text()


@cache
def section(path: str, heading: str) -> str:
    """What stands below a heading, up to the next one; nothing where there is no such heading."""
    _, _, rest = read(path).partition(f"\n{heading}\n")
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_in_the_example_file_and_in_the_docs(field: str) -> None:
    name = environment_name(field)
    assert re.search(rf"^#?{name}=", read(".env.example"), re.MULTILINE), f"{name} is not in .env.example"
    assert f"\n| `{name}` |" in read("docs/settings.md"), f"{name} has no row in docs/settings.md"


def test_the_example_file_and_the_docs_name_no_setting_that_does_not_exist() -> None:
    known = {environment_name(field) for field in Settings.model_fields}
    assert set(re.findall(r"^#?([A-Z_]+)=", read(".env.example"), re.MULTILINE)) == known
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", read("docs/settings.md"), re.MULTILINE)) == known


def test_the_defaults_in_the_example_file_are_the_real_ones() -> None:
    defaults = {environment_name(name): field.default for name, field in Settings.model_fields.items()}
    for name, value in re.findall(r"^#?([A-Z_]+)=(.+)$", read(".env.example"), re.MULTILINE):
        assert value == str(defaults[name])


def routes() -> set[str]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url="sqlite:///unused.db")
    app = create_app(runtime.start(settings))
    return {
        f"{method} {re.sub(r'<[a-z]+:', '<', rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }


def test_every_route_has_a_heading_of_its_own_in_the_docs() -> None:
    # One rule takes all that follows /webhooks/; its two forms are documented apart.
    expected = {route for route in routes() if " /staff" not in route} - {"POST /webhooks/<_rest>"}
    expected |= {"POST /webhooks/<source>", "POST /webhooks/<source>/<channel>"}
    documented = set(re.findall(r"^### `([A-Z]+ [^`]+)`$", read("docs/api.md"), re.MULTILINE))
    assert documented == expected


def test_every_page_and_every_act_of_the_staff_pages_has_a_row_in_the_docs() -> None:
    documented = set(re.findall(r"^\| `([A-Z]+ /staff[^`]*)` \|", read("docs/staff.md"), re.MULTILINE))
    assert documented == {route for route in routes() if " /staff" in route}


def commands(group: click.Group = main, words: str = "receiver") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=[words for words, _ in commands()])
def test_every_command_is_documented_with_its_options_and_an_example(words: str, command: click.Command) -> None:
    text = section("docs/commands.md", f"### `{words}`")
    assert text, f"{words} has no section in docs/commands.md"
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert options <= set(re.findall(r"`(--[a-z-]+)", text)), words
    assert re.search(rf"^\$ .*\b{words}\b", text, re.MULTILINE), f"{words} has no example"


def test_the_docs_name_no_command_that_does_not_exist() -> None:
    documented = set(re.findall(r"^### `(receiver [^`]+)`$", read("docs/commands.md"), re.MULTILINE))
    assert documented == {words for words, _ in commands()}


def test_the_event_in_the_docs_has_what_events_have() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section("docs/api.md", "### `GET /api/v1/events`"), re.DOTALL)
    (event,) = json.loads(example)["data"]
    assert set(event) == set(Event.model_fields)


def test_each_line_of_the_log_is_explained_once() -> None:
    table = section("docs/operations.md", "## Log lines")
    lines = [
        line for row in re.findall(r"^\| (`.*?) \| ", table, re.MULTILINE) for line in re.findall(r"`([^`]+)`", row)
    ]
    assert len(lines) > 50
    assert {line for line in lines if lines.count(line) > 1} == set()


@pytest.mark.parametrize("path", ["docs/api.md", "docs/support.md"])
def test_how_many_events_a_search_looks_at_is_written_as_it_is(path: str) -> None:
    assert re.findall(r"a search looks at (\w+) events", read(path)) == [str(LOOKED_AT_MAX)]


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_says_what_it_does_and_is_in_the_readme(target: str) -> None:
    assert re.search(rf"^{target}:.*## \S", MAKEFILE, re.MULTILINE), f"make {target} has no help text"
    assert f"`make {target}" in read("README.md"), f"make {target} is not in README.md"


def project_files() -> list[str]:
    """What is committed, or would be with `git add .`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git repository")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


# Taken apart, so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "|".join(
        (
            r"(?<![\w.-])/" + r"(?:work|home|root|Users|tmp)/\w",
            r"\.\./" + "shared",
            r"\bfar" + r"m\b",
            r"\bpy" + r"pi\.(?:org|python)",
            r"python" + r"hosted",
            r"npm" + r"js\.(?:com|org)",
            r"^--" + r"(?:extra-)?index-url",
        )
    ),
    re.MULTILINE,
)


def test_no_file_names_a_place_on_a_machine_or_a_package_index() -> None:
    named = {
        path: found[0]
        for path in project_files()
        if (found := FOREIGN.search((ROOT / path).read_text(encoding="utf-8", errors="ignore")))
    }
    assert named == {}


def links() -> list[tuple[str, str]]:
    pages = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    return [
        (str(page.relative_to(ROOT)), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    ]


def test_every_link_between_the_pages_leads_somewhere() -> None:
    assert [(page, target) for page, target in links() if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES])
def test_every_file_of_the_project_that_a_page_names_exists(path: str) -> None:
    names = set(re.findall(r"`((?:tests|receiver|docs)/[\w/]+\.\w+)`", read(path)))
    assert {name for name in names if not (ROOT / name).exists()} == set()


def test_every_room_is_in_the_architecture_and_every_word_of_the_glossary_leads_to_a_file() -> None:
    rooms = {f"`receiver/{room.parent.name}/`" for room in (ROOT / "receiver").glob("*/__init__.py")}
    assert {room for room in rooms if room not in read("docs/architecture.md")} == set()
    places = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", read("docs/glossary.md")))
    assert {place for place in places if not (ROOT / "receiver" / place).exists()} == set()
