"""Assertions of the suites are shown with their values, and what takes long on a cluster is marked."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("swath.testing")

LONG = ("past_its_time_limit", "kills_its_worker")
"""In names of tests that restart a worker of a cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/testing/" in item.nodeid and "TestInline" not in item.nodeid and any(w in item.name for w in LONG):
            item.add_marker(pytest.mark.slow)
