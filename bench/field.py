"""The field: every contestant by its name, and what it is compared with."""

from collections.abc import Collection

from bench.contestants import POSTGRESQL, SQLITE, Start, bare, ours, textbook
from bench.others import djstripe, hook

TWO_BY_EIGHT = ("--worker-class", "gthread", "--workers", "2", "--threads", "8")
"""How people run a receiver like the textbook's on two cores."""

UNSHARED = ("--worker-class", "bench.unshared.UnsharedWorker")

CONTESTANTS: dict[str, Start] = {
    "bare": bare("/webhooks/bcb", SQLITE),
    "bare-postgresql": bare("/webhooks/bcb", POSTGRESQL),
    "bare-verified": bare("/verified", SQLITE),
    "ours-sqlite": ours(SQLITE),
    "ours-postgresql": ours(POSTGRESQL),
    "ours-worker-sqlite": ours(SQLITE, has_worker=True, name="ours_worker"),
    "ours-worker-postgresql": ours(POSTGRESQL, has_worker=True, name="ours_worker"),
    "ours-flask-sqlite": ours(SQLITE, app="bench.by_flask:app", name="ours_flask"),
    "ours-flask-postgresql": ours(POSTGRESQL, app="bench.by_flask:app", name="ours_flask"),
    "ours-unshared-sqlite": ours(SQLITE, gunicorn=UNSHARED, name="ours_unshared"),
    "ours-unshared-postgresql": ours(POSTGRESQL, gunicorn=UNSHARED, name="ours_unshared"),
    "textbook-sqlite": textbook(SQLITE),
    "textbook-postgresql": textbook(POSTGRESQL),
    "textbook2x8-sqlite": textbook(SQLITE, TWO_BY_EIGHT),
    "textbook2x8-postgresql": textbook(POSTGRESQL, TWO_BY_EIGHT),
    "djstripe-sqlite": djstripe(SQLITE),
    "djstripe-postgresql": djstripe(POSTGRESQL),
    "webhook": hook(waits=False),
    "webhook-waits": hook(waits=True),
}

LABELS = {
    "bare": "bare Flask view",
    "bare-postgresql": "bare Flask view, settings for PostgreSQL",
    "bare-verified": "bare Flask view with HMAC and JSON",
    "ours-sqlite": "ours, SQLite",
    "ours-postgresql": "ours, PostgreSQL",
    "ours-worker-sqlite": "ours, its worker beside it, SQLite",
    "ours-worker-postgresql": "ours, its worker beside it, PostgreSQL",
    "ours-flask-sqlite": "ours, by Flask's route, SQLite",
    "ours-flask-postgresql": "ours, by Flask's route, PostgreSQL",
    "ours-unshared-sqlite": "ours, connections not shared, SQLite",
    "ours-unshared-postgresql": "ours, connections not shared, PostgreSQL",
    "textbook-sqlite": "textbook, SQLite",
    "textbook-postgresql": "textbook, PostgreSQL",
    "textbook2x8-sqlite": "textbook under gthread 2x8, SQLite",
    "textbook2x8-postgresql": "textbook under gthread 2x8, PostgreSQL",
    "djstripe-sqlite": "dj-stripe, SQLite",
    "djstripe-postgresql": "dj-stripe, PostgreSQL",
    "webhook": "adnanh/webhook, answers before its command runs",
    "webhook-waits": "adnanh/webhook, answers when its command has run",
}


def yardstick(name: str, measured: Collection[str]) -> str:
    """Return whose figures are 1.0: the bare view with the settings for the same database, where these differ."""
    own = "bare-postgresql"
    return own if name.endswith("postgresql") and own in measured else "bare"
