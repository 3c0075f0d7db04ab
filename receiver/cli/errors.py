"""Failures that an operator can do something about: one line on standard error, exit code 1."""

from typing import Any

import click


def _expected() -> tuple[type[Exception], ...]:
    """Return the kinds of failure that have a reason to show, imported where one is looked for."""
    from receiver.bank_client.session import BudgetSpent
    from receiver.banks import BankNotKnown
    from receiver.banks.abilities import AddressesWrong
    from receiver.banks.errors import BankError
    from receiver.banks.protocol import OptionsWrong, RegistrationNotOffered
    from receiver.credentials.outcomes import CredentialsError
    from receiver.inbox.explain import NotExplained
    from receiver.replay.plan import PlanWrong
    from receiver.settings import SettingsError
    from receiver.signing.errors import Refusal
    from receiver.store.api_tokens import TokenExists
    from receiver.store.audit import AuditBroken
    from receiver.store.backup import BackupRefused
    from receiver.store.database import StoreUnavailable
    from receiver.store.encryption import DecryptionFailed
    from receiver.store.schema import NotMigrated
    from receiver.store.sources import SourceExists, SourceNameWrong

    return (
        AddressesWrong,
        AuditBroken,
        BackupRefused,
        BankError,
        BankNotKnown,
        BudgetSpent,
        CredentialsError,
        NotExplained,
        NotMigrated,
        OptionsWrong,
        PlanWrong,
        Refusal,
        RegistrationNotOffered,
        DecryptionFailed,
        SettingsError,
        SourceExists,
        SourceNameWrong,
        StoreUnavailable,
        TokenExists,
    )


class FailsInOneLine(click.Group):
    """A group whose commands end with one line where the reason is known, and with a traceback where it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if isinstance(error, _expected()):
                raise click.ClickException(str(error)) from error
            raise
