"""From events in the feed to what searches find them by: where somebody searches, and by the worker beside its checks.

It is apart from the rest of the projection, so that a reader of the feed does not wait for what only searches need.
"""

from receiver.projection.projector import catch_up
from receiver.store import search_index
from receiver.store.database import Database


def index_all(database: Database) -> None:
    """Have searches find every event that is committed by now; costs two small queries where none is new.

    Raises:
        StoreUnavailable
    """
    last = catch_up(database)
    is_behind = _is_behind(database)
    while is_behind:
        with database.write() as connection:
            # What comes in meanwhile is left to the next who looks, as in `catch_up`.
            is_behind = search_index.follow(connection, last)


def index_some(database: Database) -> int:
    """Index the next few of the events that have their position; return 0 where there are none.

    Raises:
        StoreUnavailable
    """
    if not _is_behind(database):
        return 0
    with database.write() as connection:
        search_index.follow(connection)
    return 1


def _is_behind(database: Database) -> bool:
    with database.read() as connection:
        return search_index.is_behind(connection)
