"""Runs of replays, part by part, crash-safe.

What a part does and how far it has come are committed together, so that a kill at any instant neither loses nor
doubles anything.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from receiver.inbox import reverify
from receiver.replay.plan import from_filter
from receiver.runtime import Runtime
from receiver.store import audit, replays
from receiver.store.database import StoreUnavailable

log = logging.getLogger(__name__)

PART = 500
"""Entries in one transaction: short enough not to keep callbacks waiting."""


@dataclass(frozen=True)
class Runner:
    """Runs what replays are due; any number of workers may."""

    runtime: Runtime

    def run_due(self) -> int:
        """Do one part of each replay that is due; return how many parts were done.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            due = replays.due(connection, self.runtime.clock())
        return sum(self._guarded(replay_id) for replay_id in due)

    def _guarded(self, replay_id: str) -> int:
        """Do one part of a replay; a fault in it is logged and does not stop the replays behind it."""
        try:
            return self._run_part(replay_id)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a part of the replay %s failed", replay_id)
            return 0

    def _run_part(self, replay_id: str) -> int:
        now = self.runtime.clock()
        with self.runtime.database.write() as connection:
            replay = replays.lock(connection, replay_id)
            if replay is None or replay.due_at > now:
                return 0
            limit = PART if replay.per_second is None else max(1, min(PART, int(replay.per_second)))
            rows = self._rows(connection, replay, limit)
            failed = self._send(connection, replay, rows, now)
            self._note(connection, replay, rows, failed, limit, now)
        return 1

    def _rows(self, connection: Connection, replay: Row[Any], limit: int) -> list[Row[Any]]:
        selection = from_filter(replay.filter)
        if replay.target == "verification":
            return replays.rejected(connection, selection, behind=replay.place, through=replay.through, limit=limit)
        behind, through = int(replay.place), int(replay.through)
        return replays.entries(connection, selection, behind=behind, through=through, limit=limit)

    def _send(self, connection: Connection, replay: Row[Any], rows: Sequence[Row[Any]], now: datetime) -> int:
        """Send rows again; return how many could not be."""
        if replay.target == "feed":
            replays.append_replayed(connection, rows, replay.id, replay.consumer)
        elif replay.target == "bank":
            replays.make_due(connection, rows, now)
        else:
            return sum(not reverify.verify(connection, self.runtime.encryption, row, now) for row in rows)
        return 0

    def _note(
        self, connection: Connection, replay: Row[Any], rows: Sequence[Row[Any]], failed: int, limit: int, now: datetime
    ) -> None:
        changed: dict[str, Any] = {"done": replay.done + len(rows), "failed": replay.failed + failed}
        if rows:
            changed["place"] = rows[-1].id if replay.target == "verification" else str(rows[-1].position)
        if len(rows) < limit:
            changed |= {"state": "done", "finished_at": now}
            about = {"replay": replay.id, "done": changed["done"], "failed": changed["failed"]}
            audit.write(connection, at=now, who="worker", what="replay.done", why=replay.reason, about=about)
            log.info("replay %s is done: %s sent again, %s failed", replay.id, changed["done"], changed["failed"])
        elif replay.per_second is not None:
            changed["due_at"] = now + timedelta(seconds=len(rows) / replay.per_second)
        replays.advance(connection, replay.id, changed)


def cancel(connection: Connection, replay_id: str, who: str, now: datetime) -> bool:
    """Stop a replay; what it has sent stays sent. False where it was over already."""
    if not replays.cancel(connection, replay_id, now):
        return False
    replay = replays.find(connection, replay_id)
    why, about = (replay.reason, {"replay": replay_id, "done": replay.done}) if replay else (None, {})
    audit.write(connection, at=now, who=who, what="replay.cancelled", why=why, about=about)
    return True
