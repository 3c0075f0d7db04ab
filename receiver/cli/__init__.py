"""The command line: `receiver …`. A command's module is imported when the command is asked for (lazy loading)."""

import importlib
from collections import UserDict

import click

from receiver import __version__
from receiver.cli.context import Command, FailsInOneLine, Group

MODULES = {
    "accounts": ("receiver.cli.sources", "Look at the accounts at a bank."),
    "audit": ("receiver.cli.audit", "Look at the audit log."),
    "connectpay": ("receiver.cli.connectpay", "Call ConnectPay's API, as the partner or in a user's name."),
    "consumers": (
        "receiver.cli.consumers",
        "Look at the consumers of the feed; move, give away, share and remove one.",
    ),
    "credentials": (
        "receiver.cli.credentials",
        "Create, rotate and disable API credentials at the bank, and look at their permissions.",
    ),
    "days": (
        "receiver.cli.days",
        "Look at business days, the bank's list against our events; close one, and verify closed ones.",
    ),
    "db": ("receiver.cli.database", "Look after the database."),
    "deliveries": (
        "receiver.cli.deliveries",
        "Look at deliveries, find out how one was signed, verify rejected ones again.",
    ),
    "demo": (
        "receiver.cli.processes",
        "Tell the whole story on a throw-away database, with a simulated bank on loopback.",
    ),
    "doctor": (
        "receiver.cli.processes",
        "Look at settings, database, secrets, conflicts and the banks' APIs; say what is wrong and what to do.",
    ),
    "events": ("receiver.cli.events", "Look at events."),
    "exceptions": ("receiver.cli.exceptions", "Look at what needs a person; acknowledge and resolve it."),
    "healthcheck": (
        "receiver.cli.healthcheck",
        "Ask the server on this machine whether it is ready; exit 0 where it is, else 1 with the reason.",
    ),
    "jobs": ("receiver.cli.payments", "Look at jobs, and ask the bank about one."),
    "payments": ("receiver.cli.payments", "Look at payments, and ask the bank about one."),
    "rehearse": (
        "receiver.cli.rehearse",
        "Rehearse a day in minutes: callbacks and faults against a throw-away receiver on this machine, and a report.",
    ),
    "replay": ("receiver.cli.replays", "Plan, run and watch replays."),
    "retention": (
        "receiver.cli.retention",
        "Remove what is older than it is to be stored; see what holds things back.",
    ),
    "run": (
        "receiver.cli.processes",
        "Migrate the database, then run the web server and the reconciler together until Ctrl-C.",
    ),
    "secret": (
        "receiver.cli.secrets",
        "Set, list and expire message-signing secrets; encrypt all secrets anew.",
    ),
    "simulator": ("receiver.simulator.command", "Run one bank's simulator on loopback until Ctrl-C."),
    "source": ("receiver.cli.sources", "Add and look after bank relations."),
    "staff": ("receiver.cli.staff", "Add and look after the people who use the staff pages."),
    "subscriptions": ("receiver.cli.subscriptions", "List, make and deactivate subscriptions at a bank."),
    "sweep": ("receiver.cli.sweeps", "Read what banks know from their own lists; look at how far they were read."),
    "token": ("receiver.cli.tokens", "Create and revoke API tokens of downstream apps."),
    "worker": (
        "receiver.cli.processes",
        "Run the reconciler: ask the banks about payments that are due, and fetch public keys ahead.",
    ),
}
"""Where each command is, by a name of its own there, and the first sentence of its help."""


class Commands(UserDict[str, click.Command]):
    """The commands by name; `data` holds stand-ins with a name and a help text, and asking for one imports the real."""

    def __init__(self) -> None:
        """Import nothing."""
        super().__init__({name: click.Command(name, help=about) for name, (_, about) in MODULES.items()})

    def __getitem__(self, name: str) -> click.Command:
        """Return a command itself.

        Raises:
            KeyError: there is no such command.
        """
        module, _ = MODULES[name]
        found: click.Command = getattr(importlib.import_module(module), name)
        # The simulator takes nothing from us, so neither does its command.
        return found if isinstance(found, (Command, Group)) else Command.of(found)


class LazyGroup(FailsInOneLine):
    """The group of all commands, whose own help imports none of them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, from the stand-ins."""
        click.Group(commands=Commands().data).format_commands(ctx, formatter)


@click.group(cls=LazyGroup, commands=Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="bank-callback-receiver")
def main() -> None:
    """Receive banks' payment callbacks: proven genuine, written down once, checked with the bank, told in order."""
