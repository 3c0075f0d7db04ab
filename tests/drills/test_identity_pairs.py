"""Generated pairs of genuine callbacks: none that differ in an identifying field become one event.

And the same bytes, with the same identifying headers, never become two.
"""

import os
import secrets
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from random import Random

import pytest
from genuine_pairs import SHAPES, Pair, Told, make_pair

from receiver import banks
from receiver.banks.callback import Proof
from receiver.inbox.verification import events

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

CHUNK = 5000
"""Pairs for which one process is asked at a time."""

PROCESSES = 2

Found = tuple[Counter[str], list[str]]
"""How many pairs of each kind there were, and those that were told apart wrongly."""


def identities(bank: str, told: Told) -> dict[bytes, str]:
    proof = Proof("signature", "secret:1", told.text.encode(), headers=told.headers)
    return {event.identity: event.content_sha256 for event in events(banks.named(bank), proof, NOW)}


def is_right(pair: Pair) -> bool:
    first, second = identities(pair.bank, pair.first), identities(pair.bank, pair.second)
    conflict = any(first[same] != second[same] for same in first.keys() & second.keys())
    return len(second.keys() - first.keys()) == pair.added and conflict == pair.conflict


def check(seed: str, number: int) -> Found:
    """Make and read so many pairs, of each bank in turn."""
    random, kinds, wrong = Random(seed), Counter[str](), []  # noqa: S311 - no secret
    for bank in (list(SHAPES) * number)[:number]:
        pair = make_pair(random, bank)
        kinds[
            f"{bank}: {pair.differ_in}: {'two' if pair.added else 'one, in conflict' if pair.conflict else 'one'}"
        ] += 1
        if not is_right(pair):
            wrong.append(f"seed {seed}: {pair}")
    return kinds, wrong


def quietly(seed: str, number: int) -> Found:
    """The same in a process of its own, without a line in the log for each text that is not understood."""
    import logging

    logging.disable()
    return check(seed, number)


def test_a_thousand_pairs_are_told_apart_by_what_identifies_them() -> None:
    kinds, wrong = check("short", 1000)
    assert wrong == []
    assert len({kind.partition(":")[0] for kind in kinds}) == len(SHAPES)


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_million_pairs_are_told_apart_by_what_identifies_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Other pairs each time; `IDENTITY_PAIRS` is another number of them than a million."""
    number, seed = int(os.environ.get("IDENTITY_PAIRS", "1000000")), secrets.token_hex(4)
    started, kinds, wrong, done = time.monotonic(), Counter[str](), list[str](), 0
    with ProcessPoolExecutor(PROCESSES) as pool:
        asked = [
            pool.submit(quietly, f"{seed}-{first}", min(CHUNK, number - first)) for first in range(0, number, CHUNK)
        ]
        for finished in as_completed(asked):
            counted, failed = finished.result()
            kinds += counted
            wrong += failed
            done = kinds.total()
            if done % (20 * CHUNK) == 0:
                with capsys.disabled():
                    print(f"\n{done} pairs, {len(wrong)} wrong, {time.monotonic() - started:.0f} s", end="", flush=True)
    with capsys.disabled():
        print()
        for kind, times in sorted(kinds.items()):
            print(f"{times:8}  {kind}")
    assert wrong[:10] == []
    assert done == number
