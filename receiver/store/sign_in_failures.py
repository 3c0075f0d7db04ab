"""How often signing in has failed, by account and by address, in a fixed number of rows.

Whoever tries makes up names and has many addresses, so each is counted in a bucket (a keyed digest): the table never
grows beyond them, and nobody can tell from outside who shares one.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, select

from receiver.store.bulk_insert import upsert
from receiver.store.encryption import Encryption
from receiver.store.records import SKEW
from receiver.store.tables import SignInFailures, table_of

_failures = table_of(SignInFailures)

ACCOUNT_BUCKETS = 4096
ADDRESS_BUCKETS = 65536

FREE = 5
"""Failures that cost no time ..."""

LONGEST = 60
"""... before each further one doubles the seconds until the next try, up to so many: nobody is locked out for good."""

FORGOTTEN_AFTER = timedelta(hours=1)


def account_bucket(encryption: Encryption, name: str) -> int:
    """Return where failures of an account are counted, whether there is such an account or not."""
    return _bucket(encryption, f"account {name}", ACCOUNT_BUCKETS)


def address_bucket(encryption: Encryption, address: str) -> int:
    """Return where failures from an address are counted, or within a session that is called like one."""
    return ACCOUNT_BUCKETS + _bucket(encryption, f"address {address}", ADDRESS_BUCKETS)


def _bucket(encryption: Encryption, text: str, number: int) -> int:
    key = encryption.derived("sign-in buckets")
    return int.from_bytes(hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), "sha256")[:8]) % number


def add(connection: Connection, buckets: Sequence[int], now: datetime) -> None:
    """Count a failure in each of the buckets."""
    statement = upsert(connection, _failures)
    count = case((_failures.c.failed_at < now - FORGOTTEN_AFTER, 1), else_=_failures.c.failures + 1)
    # In one order, so that two that share a bucket never wait for each other.
    for bucket in sorted(buckets):
        row = statement.values(bucket=bucket, failures=1, failed_at=now)
        connection.execute(
            row.on_conflict_do_update(index_elements=["bucket"], set_={"failures": count, "failed_at": now})
        )


def forget(connection: Connection, bucket: int) -> None:
    """Count anew, since signing in has succeeded."""
    connection.execute(delete(_failures).where(_failures.c.bucket == bucket))


def wait(connection: Connection, buckets: Sequence[int], now: datetime) -> float:
    """Return how many seconds are left until the next try is taken; 0 where it is taken now."""
    rows = connection.execute(
        select(_failures.c.failures, _failures.c.failed_at).where(_failures.c.bucket.in_(list(buckets)))
    )
    return max((_wait(failures, failed_at, now) for failures, failed_at in rows), default=0)


def _wait(failures: int, failed_at: datetime, now: datetime) -> float:
    if failures < FREE or now - failed_at > FORGOTTEN_AFTER or failed_at > now + SKEW:
        return 0
    pause = min(2.0 ** min(failures - FREE, 30), LONGEST)
    return max(0.0, (failed_at + timedelta(seconds=pause) - now).total_seconds())
