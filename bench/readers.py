"""Readers that follow the feed with `wait=20` until they are killed: `python -m bench.readers URL TOKEN CURSOR N`."""

import random
import sys
import threading
import time

import requests


def follow(url: str, token: str, after: str) -> None:
    """Read on and on; pause where there was nothing, as an app does that may not wait."""
    time.sleep(random.random())  # noqa: S311 - apart from one another
    with requests.Session() as session:
        while True:
            query: dict[str, str | int] = {"after": after, "wait": 20}
            started = time.monotonic()
            page = session.get(f"{url}/api/v1/feed", params=query, headers={"Authorization": token}, timeout=60).json()
            after = page["next"]
            if not page["data"] and time.monotonic() - started < 1:
                time.sleep(1)


url, token, cursor, number = sys.argv[1:]
for _ in range(int(number)):
    threading.Thread(target=follow, args=(url, token, cursor), daemon=True).start()
threading.Event().wait()
