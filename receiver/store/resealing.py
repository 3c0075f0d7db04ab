"""Encrypting everything secret anew with the newest key, so that older keys can be dropped."""

from sqlalchemy import Connection, select, update

from receiver.store.sealing import Sealer
from receiver.store.tables import BankToken, CredentialChange, SigningSecret, Source, table_of

SEALED = (
    (table_of(Source), "credentials"),
    (table_of(SigningSecret), "sealed"),
    (table_of(BankToken), "sealed"),
    (table_of(CredentialChange), "token"),
)
"""Every column that holds something sealed."""


def reseal(connection: Connection, sealer: Sealer) -> int:
    """Encrypt all of it anew, in the caller's transaction; return how many values there were.

    Raises:
        SealBroken: no key opens one of them; nothing is changed then.
    """
    number = 0
    for table, name in SEALED:
        (identity,) = table.primary_key.columns
        column = table.c[name]
        rows = connection.execute(select(identity, column).where(column.is_not(None)).with_for_update())
        for key, sealed in rows.all():
            renewed = sealer.renew(f"{name} of {table.name} {key}", bytes(sealed))
            connection.execute(update(table).where(identity == key).values({name: renewed}))
            number += 1
    return number
