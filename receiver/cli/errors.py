"""Failures that an operator can do something about: one line on standard error, exit code 1."""

from typing import Any

import click

from receiver.admin.errors import NotFound, NotPossible
from receiver.admin.sources import CredentialsIncomplete, OriginWrong
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

EXPECTED = (
    AddressesWrong,
    AuditBroken,
    BackupRefused,
    BankError,
    BankNotKnown,
    BudgetSpent,
    CredentialsError,
    CredentialsIncomplete,
    NotExplained,
    NotFound,
    NotMigrated,
    NotPossible,
    OptionsWrong,
    OriginWrong,
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
        except EXPECTED as error:
            raise click.ClickException(str(error)) from error
