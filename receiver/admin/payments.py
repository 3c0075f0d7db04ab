"""Payments: ask the bank about one at once."""

from receiver.admin.audit import note
from receiver.model import NotFound, NotPossible
from receiver.projection.projector import catch_up
from receiver.reconcile import hindrances
from receiver.reconcile.checks import Reconciler
from receiver.runtime import Runtime
from receiver.store import payments


def check(runtime: Runtime, who: str, source_name: str, payment_id: str) -> None:
    """Ask the bank about a payment now, due or not (reconciliation on demand); audited as `payment.checked`.

    What the bank said, or why it said nothing, is the latest of the payment's checks afterwards.

    Raises:
        NotFound
        NotPossible: the bank was not asked.
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        found = payments.find(connection, source_name, "payment", payment_id)
    if found is None:
        raise NotFound(f"there is no payment {payment_id!r} of {source_name!r}")
    if not Reconciler(runtime).check_now(found.id):
        raise NotPossible(f"the bank was not asked: {hindrances.reason(runtime, found.id)}")
    about = {"source": source_name, "payment": payment_id}
    note(runtime, who, "payment.checked", about)
