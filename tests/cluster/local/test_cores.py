"""Cores are those that this process may use, or of the machine where that is not told."""

from __future__ import annotations

import os

import pytest

from swath.cluster.local.cores import cores


def test_cores_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7} if pid == 0 else set(), raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    for counted, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda counted=counted: counted)
        assert cores() == expected
