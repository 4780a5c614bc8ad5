"""Assertions of the suites are shown with their values; and suites that run in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.process import ROOT

pytest.register_assert_rewrite("swath.testing")


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
