"""What holds for every command."""

from collections.abc import Iterator

import click
import pytest
from cli.commands import Cli

from receiver.cli import main
from receiver.cli.context import Command, Group


def commands(group: click.Group = main, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, groups too."""
    yield words, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_that_says_what_it_does(cli: Cli, words: tuple[str, ...], flag: str) -> None:
    text = cli.done(*words, flag)
    assert text.startswith(f"Usage: {' '.join(('receiver', *words))}")
    assert len(text.splitlines()[2].strip()) > 10


def test_every_option_has_help_and_every_word_that_may_be_repeated_shows_it() -> None:
    for words, command in commands():
        context = click.Context(command)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (words, parameter.opts)
            else:
                assert parameter.make_metavar(context).endswith("...") == (parameter.nargs == -1), words


@pytest.mark.parametrize("words", [words for words, command in commands() if words[-1:] == ("list",)], ids=" ".join)
def test_every_list_takes_json(words: tuple[str, ...]) -> None:
    (command,) = (command for found, command in commands() if found == words)
    assert "--json" in {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("words", [words for words, command in commands() if words[-1:] == ("list",)], ids=" ".join)
def test_every_list_is_written_as_csv_too(words: tuple[str, ...]) -> None:
    (command,) = (command for found, command in commands() if found == words)
    assert "--csv" in {name for parameter in command.params for name in parameter.opts}


def test_every_command_refuses_an_option_that_is_given_twice() -> None:
    assert [words for words, command in commands() if not isinstance(command, (Command, Group))] == []


@pytest.mark.parametrize(
    "words",
    [
        ("source", "add", "aa", "--bank", "bcb", "--option", "channels=\udcff"),
        ("payments", "check", "bcb", "\udcff"),
        ("events", "list", "--q", "a\ud800"),
        ("simulator", "--option", "client_id=\udcff"),
        ("\udcff",),
    ],
    ids=ascii,
)
def test_a_word_that_is_no_utf_8_is_wrong_use(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli.run(*words)
    assert (result.exit_code, "is not UTF-8" in result.stderr) == (2, True)
    assert cli.json("source", "list") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("payments", "list", "--limit", "5", "--limit", "6"), "--limit is given 2 times"),
        (("payments", "list", "--json", "--json"), "--json is given 2 times"),
        (("simulator", "--port", "1", "--port", "2"), "--port is given 2 times"),
        (("simulator", "--option", "rate_limit=1", "--option", "rate_limit=2"), "a KEY is given twice"),
        (("payments", "list", "--source", "bbc"), "There is no source 'bbc'; there is none yet."),
        (("events", "list", "--type", "bcb.deposits"), "the nearest is 'bcb.deposit'"),
        (("payments", "list", "--csv", "--json"), "exclude each other"),
    ],
)
def test_what_would_be_passed_over_in_silence_is_wrong_use(cli: Cli, words: tuple[str, ...], says: str) -> None:
    result = cli.run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("words", "option", "all_of_it", "none_of_these"),
    [
        (("exceptions", "list"), ("--source", "bcb"), "Nothing needs a person.", "There is none of these."),
        (("exceptions", "list"), ("--state", "resolved"), "Nothing needs a person.", "There is none of these."),
        (("audit", "list"), ("--what", "secret.set"), "The audit log is empty.", "There is no such entry."),
    ],
)
def test_a_list_that_a_filter_leaves_nothing_of_says_no_more_than_that(
    cli: Cli, words: tuple[str, ...], option: tuple[str, ...], all_of_it: str, none_of_these: str
) -> None:
    assert cli.run(*words).stderr == f"{all_of_it}\n"
    assert cli.run(*words, *option).stderr == f"{none_of_these}\n"


OF_A_SOURCE: dict[tuple[str, ...], tuple[str, ...]] = {
    **dict.fromkeys([(group, "list") for group in ("deliveries", "events", "exceptions", "jobs", "payments")], ()),
    ("deliveries", "reverify"): (),
    ("replay", "plan"): ("--reason", "a test"),
    ("token", "create"): ("app",),
    ("rehearse",): ("--day", "2026-03-04", "--no-faults", "--from-database"),
}
"""Every command that takes `--source`, and what it takes besides."""


def test_no_command_that_takes_a_source_is_left_out() -> None:
    taking = {words for words, command in commands() for parameter in command.params if "--source" in parameter.opts}
    assert taking == set(OF_A_SOURCE)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("words", OF_A_SOURCE, ids=" ".join)
def test_a_source_that_there_is_not_is_wrong_use(cli: Cli, database_url: str, words: tuple[str, ...]) -> None:
    besides = (*OF_A_SOURCE[words], database_url) if words == ("rehearse",) else OF_A_SOURCE[words]
    result = cli.run(*words, *besides, "--source", "bbc")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: There is no source 'bbc'; the nearest is 'bcb'.\n")


NAMED: dict[tuple[str, ...], tuple[str, ...]] = {
    **dict.fromkeys([("payments", each) for each in ("show", "check")], ("FT1",)),
    **dict.fromkeys([("jobs", each) for each in ("show", "check")], ("J1",)),
    **dict.fromkeys([("source", each) for each in ("show", "disable", "enable", "remove", "credentials")], ()),
    ("source", "set"): ("--option", "encoding=utf8"),
    ("source", "register"): ("--url", "https://callbacks.example.com"),
    **dict.fromkeys([("secret", each) for each in ("set", "list")], ()),
    ("secret", "expire"): ("1",),
    **dict.fromkeys([("days", each) for each in ("show", "close")], ("2026-03-04",)),
    **dict.fromkeys([("days", each) for each in ("list", "verify")], ()),
    ("sweep", "run"): ("--from", "2026-03-04"),
    ("sweep", "status"): (),
    ("doctor",): (),
    **dict.fromkeys([("credentials", each) for each in ("create", "rotate", "disable", "permissions")], ()),
    ("accounts", "list"): (),
    **dict.fromkeys([("subscriptions", each) for each in ("list", "create")], ()),
    ("subscriptions", "deactivate"): ("S1",),
    ("connectpay", "call"): ("GET", "/x"),
    ("retention", "run"): (),
}
"""Every command that takes a source's name as a word of its own, and what it takes behind it."""


def test_no_command_that_is_given_a_source_by_name_is_left_out() -> None:
    def names_one(words: tuple[str, ...], parameter: click.Parameter) -> bool:
        of_group = words[:1] == ("source",) and words != ("source", "add")
        is_named = parameter.name in ("source", "source_name") or (parameter.name == "name" and of_group)
        return isinstance(parameter, click.Argument) and (is_named or words == ("retention", "run"))

    taking = {words for words, command in commands() for each in command.params if names_one(words, each)}
    assert taking == set(NAMED)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_a_source_by_a_name_that_there_is_not_is_wrong_use(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli.run(*words, "bbc", *NAMED[words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no source 'bbc'; the nearest is 'bcb'" in result.stderr.lower()


@pytest.mark.parametrize("words", [("nonsense",), ("source",), ("events", "list", "--nonsense"), ("source", "show")])
def test_wrong_use_ends_with_2_and_says_so_on_standard_error(cli: Cli, words: tuple[str, ...]) -> None:
    ended = cli.process(*words)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"Usage: receiver" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [(("source", "list"), 0), (("source", "list", "--json"), 0), (("events", "show", "none"), 1), (("--version",), 0)],
)
def test_a_process_ends_with_0_where_it_is_done_and_1_where_it_failed(
    cli: Cli, words: tuple[str, ...], code: int
) -> None:
    assert cli.process(*words).returncode == code


def test_a_missing_key_fails_in_one_line_that_names_it(cli: Cli) -> None:
    ended = cli.process("source", "list", RECEIVER_SECRET_KEYS="")
    assert (ended.returncode, ended.stdout, ended.stderr.count(b"\n")) == (1, b"", 1)
    assert b"RECEIVER_SECRET_KEYS is not set" in ended.stderr


@pytest.mark.parametrize(
    "option", ["--secret", "--client-secret", "--password", "--signing-secret"], ids=lambda option: option
)
def test_no_command_takes_a_secret_as_an_argument_save_the_simulator_its_own(option: str) -> None:
    taking = [words for words, command in commands() for parameter in command.params if option in parameter.opts]
    assert set(taking) <= {("simulator",)}
