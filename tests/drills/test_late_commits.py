"""The feed's race for longer: transactions held open for up to two seconds, beside readers who follow along."""

import pytest
from store.race import race

from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord


@pytest.mark.drill
def test_readers_who_follow_along_for_long_see_each_entry_exactly_once(parts: Runtime, source: SourceRecord) -> None:
    print(f"{race(parts, source, seconds=20)} entries")
