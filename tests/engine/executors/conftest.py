"""What restarts workers takes long and is marked."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("swath.testing")

RESTARTS = ("past_its_time_limit", "kills_its_worker")
"""In names of tests that restart a worker."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        on_workers = "local" in getattr(item, "fixturenames", ())
        if on_workers and any(name in item.name for name in RESTARTS):
            item.add_marker(pytest.mark.slow)
