"""Runs of replays, part by part, crash-safe.

What a part does and how far it has come are committed together, so that a kill at any instant neither loses nor
doubles anything.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from receiver.inbox import reverify
from receiver.logs import ids
from receiver.model import ReplayState, ReplayTarget, Verdict
from receiver.replay.plan import from_filter
from receiver.runtime import Runtime
from receiver.store import audit, deliveries, replay_selection, replays
from receiver.store.database import StoreUnavailable
from receiver.store.replays import ReplayRecord

log = logging.getLogger(__name__)

PART = 500
"""Entries in one transaction: short enough not to keep callbacks waiting."""

PART_SECONDS = 0.2
"""After which a part that verifies ends: strangers say what comes out of the bodies that are unpacked in it."""

_GONE = ("stored no longer", "no longer among the rejected")
"""What became of entries that a plan saw; and of rejected deliveries, which may have been accepted since."""


class _Part(NamedTuple):
    """What a part of a replay came to, and the place behind which the next one begins, unless it `is_last`."""

    number: int
    place: str
    is_last: bool
    failed: int = 0


@dataclass(frozen=True)
class Runner:
    """Runs what replays are due; any number of workers may."""

    runtime: Runtime
    timer: Callable[[], float] = time.monotonic
    """A clock that nobody sets, in seconds."""

    def run_due(self) -> int:
        """Do one part of each replay that is due; return how many parts were done.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            due = replays.due(connection, self.runtime.clock())
        done, trouble = 0, None
        for replay_id in due:
            try:
                done += self._guarded(replay_id)
            except StoreUnavailable as error:
                # It may be this one's alone, whose selection takes too long: those behind it have their turn.
                trouble = error
        if trouble is not None:
            raise trouble
        return done

    def _guarded(self, replay_id: str) -> int:
        """Do one part of a replay; a fault in it is logged, puts it off, and does not stop the replays behind it."""
        try:
            return self._run_part(replay_id)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a part of the replay %s failed", replay_id)
        with self.runtime.database.write() as connection:
            replays.advance(connection, replay_id, {"due_at": self.runtime.clock() + replays.AFTER_FAULT})
        return 0

    def _run_part(self, replay_id: str) -> int:
        now = self.runtime.clock()
        with self.runtime.database.write() as connection:
            replay = replays.lock(connection, replay_id)
            if replay is None or not replay.is_due(now):
                return 0
            limit = PART if replay.per_second is None else max(1, min(PART, int(replay.per_second)))
            do = self._verify_part if replay.target == ReplayTarget.VERIFICATION else self._send_part
            part = do(connection, replay, limit, now)
            self._advance(connection, replay, part, now)
        return 1

    def _send_part(self, connection: Connection, replay: ReplayRecord, limit: int, now: datetime) -> _Part:
        """Put feed entries into the feed once more, or have the bank asked about what they are about."""
        selection, behind, through = from_filter(replay.filter), int(replay.place), int(replay.through)
        entries = replay_selection.entries(connection, selection, behind=behind, through=through, limit=limit)
        if replay.target == ReplayTarget.FEED:
            replay_selection.append_replayed(connection, entries, replay.id, replay.consumer, now)
        else:
            replay_selection.make_due(connection, entries, now)
        place = str(entries[-1].position) if entries else replay.place
        return _Part(len(entries), place, is_last=len(entries) < limit)

    def _verify_part(self, connection: Connection, replay: ReplayRecord, limit: int, now: datetime) -> _Part:
        """Verify rejected deliveries with the secrets that are known by now.

        Those that others have verified or removed since they were looked up are passed over.
        """
        selection = from_filter(replay.filter)
        rejected = replay_selection.rejected(
            connection, selection, behind=replay.place, through=replay.through, limit=limit
        )
        verdicts: list[Verdict | None] = []
        place, ends = replay.place, self.timer() + PART_SECONDS
        for delivery in rejected:
            row = deliveries.lock_rejected(connection, delivery.id)
            if row is not None:
                verdicts.append(reverify.verify(connection, self.runtime, row, now))
            place = delivery.id
            if self.timer() >= ends:
                break
        failed = sum(verdict not in reverify.NOT_REJECTED for verdict in verdicts)
        is_last = len(rejected) < limit and (not rejected or place == rejected[-1].id)
        return _Part(len(verdicts), place, is_last, failed)

    def _advance(self, connection: Connection, replay: ReplayRecord, part: _Part, now: datetime) -> None:
        done, failed = replay.done + part.number, replay.failed + part.failed
        changed: dict[str, Any] = {"done": done, "failed": failed, "place": part.place}
        if part.is_last:
            changed |= {"state": ReplayState.DONE, "finished_at": now}
            about = {"replay": replay.id, "done": done, "failed": failed}
            missing = max(replay.total - done, 0)
            if missing:
                about["missing"] = missing
                are = _GONE[replay.target == ReplayTarget.VERIFICATION]
                log.warning("replay %s: %s that its plan saw are %s", replay.id, missing, are, extra=ids(**about))
            audit.write(
                connection,
                self.runtime.encryption,
                at=now,
                who="worker",
                what="replay.done",
                why=replay.reason,
                about=about,
            )
            log.info("replay %s is done: %s sent again, %s failed", replay.id, done, failed, extra=ids(**about))
        else:
            about = ids(replay=replay.id, done=done, failed=failed)
            log.info("replay %s: %s of %s sent again", replay.id, done, replay.total, extra=about)
            if replay.per_second is not None:
                changed["due_at"] = now + timedelta(seconds=part.number / replay.per_second)
        replays.advance(connection, replay.id, changed)
