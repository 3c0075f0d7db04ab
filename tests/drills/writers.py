"""Writers that hold their transactions open before they commit, in threads and in processes of their own."""

import base64
import random
import time
from concurrent.futures import ThreadPoolExecutor

from receiver import runtime
from receiver.settings import Settings
from receiver.store import outbox, sources

THREADS = 4


def write_late(url: str, process: int, seconds: float, longest: float) -> list[str]:
    """Append entries from four threads for `seconds`; return the names of those that were committed.

    A transaction is held open for up to `longest` seconds after its entries were inserted.
    """
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    parts = runtime.start(Settings(_env_file=None, secret_keys=key, database_url=url))
    ends = time.monotonic() + seconds
    with parts.database.read() as connection:
        source = sources.every(connection)[0]

    def keep_writing(thread: int) -> list[str]:
        chance = random.Random(process * THREADS + thread)  # noqa: S311 - the same race each time
        written: list[str] = []
        while time.monotonic() < ends:
            first = len(written)
            names = [f"{process}-{thread}-{first + count}" for count in range(chance.randint(1, 3))]
            with parts.database.write() as connection:
                for name in names:
                    outbox.append(
                        connection,
                        type="test.entry",
                        source_id=source.id,
                        subject=name,
                        event_id=None,
                        data={},
                        now=parts.clock(),
                    )
                time.sleep(chance.choice([0, 0, 0.01, chance.random()]) * longest)
            written += names
            time.sleep(0.002)
        return written

    with ThreadPoolExecutor(THREADS) as pool:
        names = [name for names in pool.map(keep_writing, range(THREADS)) for name in names]
    parts.database.close()
    return names
