"""Callbacks signed with whatever secret the simulated bank has, and what is known of it here."""

from bank import BankSigner, Signed, deposit

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import credential_changes, deliveries, feed, signing_secrets, sources
from receiver.web import create_app


def signed_now(parts: Runtime, simulator: Simulator, payment_id: str = "FT1") -> Signed:
    """A deposit, signed with the secret that the bank has at this moment."""
    return BankSigner(parts.clock, secret=simulator.bank.client.signing_secret).sign(deposit(transactionId=payment_id))


def post(parts: Runtime, signed: Signed) -> int:
    """Send a callback; return the status that it is answered."""
    return create_app(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers).status_code


def tell(parts: Runtime, simulator: Simulator, payment_id: str = "FT1") -> int:
    """Let the bank tell of a deposit."""
    return post(parts, signed_now(parts, simulator, payment_id))


def told(parts: Runtime) -> list[str | None]:
    """The payments that the feed tells of, in its order."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        entries = feed.read(connection, after=0, limit=1000).entries
    return [entry.subject for entry in entries if not entry.type.startswith("exception.")]


def kept(parts: Runtime) -> list[tuple[str, str]]:
    """The rejected deliveries that are kept: their nonces and reasons, oldest first."""
    with parts.database.read() as connection:
        rows = deliveries.rejected(connection, None, below=None, limit=1000)
    return [(row.headers.get("bcb-nonce", ""), row.reason or "") for row in reversed(rows)]


def known_secrets(parts: Runtime) -> list[str]:
    """The signing secrets that are valid now, newest first."""
    with parts.database.read() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        found = signing_secrets.valid(connection, parts.encryption, source.id, parts.clock())
    return [secret.text for secret in found]


def assert_in_step(parts: Runtime, simulator: Simulator) -> None:
    """The current secret and the API credentials are the bank's own, and no change is unfinished."""
    with parts.database.read() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        credentials = sources.credentials(connection, parts.encryption, source)
        versions = signing_secrets.versions(connection, source.id)
        assert credential_changes.pending(connection, source.id) is None
    client = simulator.bank.client
    assert known_secrets(parts)[0] == client.signing_secret
    assert credentials == {"client_id": client.client_id, "client_secret": client.client_secret}
    assert sum(version.expires_at is None for version in versions) == 1
