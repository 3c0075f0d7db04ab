"""What goes to a bank is bound to where it goes; the bank's public keys are sealed.

Revision 0006. It adds two columns, and seals once anew what releases before it have sealed for any destination. What
stands beside it at this time is taken as it is; from then on the older form opens nowhere.
"""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy import Connection

from receiver.store.credential_changes import purpose
from receiver.store.encryption import Encryption
from receiver.store.sources import destination
from receiver.store.tables.base import BigKey

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_sources = sa.table(
    "sources",
    sa.column("id", BigKey),
    sa.column("bank", sa.String()),
    sa.column("environment", sa.String()),
    sa.column("base_url", sa.String()),
    sa.column("options", sa.JSON()),
    sa.column("credentials", sa.LargeBinary()),
)
_tokens = sa.table("bank_tokens", sa.column("source_id", BigKey), sa.column("sealed", sa.LargeBinary()))
_changes = sa.table(
    "credential_changes",
    sa.column("id", BigKey),
    sa.column("source_id", BigKey),
    sa.column("kind", sa.String()),
    sa.column("client_id", sa.String()),
    sa.column("allowed_ips", sa.String()),
    sa.column("idempotency_key", sa.String()),
    sa.column("token", sa.LargeBinary()),
)
_keys = sa.table(
    "public_keys",
    sa.column("source_id", BigKey),
    sa.column("jwks", sa.String()),
    sa.column("sealed", sa.LargeBinary()),
)


def upgrade() -> None:
    """Add the columns, and seal anew; all in one transaction, so that a crash leaves all as it was."""
    op.add_column("public_keys", sa.Column("sealed", sa.LargeBinary(), nullable=True))
    op.add_column("public_keys", sa.Column("failures", sa.Integer(), nullable=True))
    connection = op.get_bind()
    for source in connection.execute(sa.select(_sources).order_by(_sources.c.id)).all():
        _reseal(connection, context.config.attributes["encryption"], source)


def _reseal(connection: Connection, encryption: Encryption, source: Any) -> None:
    """Seal anew all of one source.

    Raises:
        DecryptionFailed: no key opens it.
    """
    bound_to = destination(source.bank, source.environment, source.base_url, source.options)
    own = f"of source {source.id}"
    changes = connection.execute(
        sa.select(_changes).where(_changes.c.source_id == source.id, _changes.c.token.is_not(None))
    ).all()
    jwks = connection.execute(sa.select(_keys.c.jwks).where(_keys.c.source_id == source.id)).scalar()
    if source.credentials is not None:
        text = encryption.decrypt(f"credentials {own}", bytes(source.credentials))
        sealed = encryption.encrypt(f"credentials {own}", text, bound_to)
        connection.execute(sa.update(_sources).where(_sources.c.id == source.id).values(credentials=sealed))
    for change in changes:
        key = change.idempotency_key
        text = encryption.decrypt(f"token for the change {key}", bytes(change.token))
        place = purpose(source.id, change.kind, change.client_id, change.allowed_ips, key)
        sealed = encryption.encrypt(place, text, bound_to)
        connection.execute(sa.update(_changes).where(_changes.c.id == change.id).values(token=sealed))
    if jwks is not None:
        sealed = encryption.encrypt(f"public keys {own}", jwks, bound_to)
        connection.execute(sa.update(_keys).where(_keys.c.source_id == source.id).values(sealed=sealed))
    # A bank gives another one.
    connection.execute(sa.delete(_tokens).where(_tokens.c.source_id == source.id))
