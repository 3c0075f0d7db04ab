"""`receiver staff`."""

from cli.commands import Cli

from receiver.admin import people, sign_in
from receiver.model import Role
from receiver.runtime import Runtime

PASSWORD = "quite a long password"


def test_a_person_is_added_with_the_password_from_standard_input(cli: Cli, live: Runtime) -> None:
    said = cli.done("staff", "add", "Ann", "--role", "approver", "--payloads", given=f"{PASSWORD}\n")
    assert said == "ann may sign in at http://127.0.0.1:8000/staff as approver.\n"
    assert sign_in.sign_in(live, "ann", PASSWORD, "127.0.0.1")
    (listed,) = cli.json("staff", "list")
    assert {name: listed[name] for name in ("name", "role", "payloads", "state", "signs_in_by")} == {
        "name": "ann",
        "role": "approver",
        "payloads": True,
        "state": "enabled",
        "signs_in_by": "password",
    }
    assert listed["signed_in_at"] is not None
    assert PASSWORD not in cli.done("audit", "list", "--json")
    assert cli.json("audit", "list", "--what", "staff.added")[0]["who"].startswith("cli:")


def test_a_person_is_changed_disabled_and_let_in(cli: Cli, live: Runtime) -> None:
    people.add(live, "cli:test", "ann", Role.VIEWER, password=PASSWORD)
    assert cli.done("staff", "set", "ann", "--role", "admin") == "ann is admin, and may not read payloads.\n"
    assert "disabled" in cli.done("staff", "disable", "ann")
    assert cli.json("staff", "list")[0]["state"] == "disabled"
    assert cli.done("staff", "set", "ann", "--payloads", "--enable") == "ann is admin, and may read payloads.\n"
    cli.done("staff", "password", "ann", given="\ufeffanother long password\n")
    assert sign_in.sign_in(live, "ann", "another long password", "127.0.0.1")


def test_what_is_wrong_is_said_in_one_line(cli: Cli) -> None:
    assert "receiver staff add NAME" in cli.run("staff", "list").stderr
    for words, code, said in (
        (("add", "ann"), 2, "--role"),
        (("add", "ann", "--role", "boss"), 2, "boss"),
        (("set", "ann"), 2, "say what to change"),
        (("add", "no spaces", "--role", "viewer"), 1, "a name takes"),
        (("add", "ann", "--role", "viewer"), 1, "12 characters"),
        (("password", "ann"), 2, "there is no person 'ann'; there is none yet"),
    ):
        result = cli.run("staff", *words, given="short\n")
        assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
