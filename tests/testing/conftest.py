"""Assertions of the suites are shown with their values, and what takes long on a cluster is marked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.process import ROOT

pytest.register_assert_rewrite("swath.testing")

LONG = ("past_its_time_limit", "kills_its_worker")
"""In names of tests that restart a worker of a cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/testing/" in item.nodeid and "TestInline" not in item.nodeid and any(w in item.name for w in LONG):
            item.add_marker(pytest.mark.slow)


def run_kubernetes_suite(name: str, suite: type) -> None:
    """Run a class of kubernetes_suites.py: all tests of its suite have to pass."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default::ResourceWarning",
        "-W", "default::pytest.PytestUnraisableExceptionWarning", f"tests/testing/kubernetes_suites.py::{name}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = [each for each in dir(suite) if each.startswith("test_")]
    assert f"{len(tests)} passed" in done.stdout, done.stdout
