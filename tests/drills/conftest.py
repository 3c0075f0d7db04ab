"""Drills have two forms of one proof: a short one that always runs, and a long one for `make drills`."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long forms out unless they are asked for."""
    if os.environ.get("DRILLS") == "1":
        return
    for item in items:
        if item.get_closest_marker("drill"):
            item.add_marker(pytest.mark.skip(reason="the long form; `make drills` runs it"))
