"""Sensor `git`: the commit of a branch or tag."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from swath.errors import SwathError
from swath.sensors.git import look
from swath.triggers.trigger import GitSensor


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_new_commit_is_found_under_its_hash(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    commits = []
    for number in range(2):
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", str(number))
        (found,) = look(GitSensor(url=str(tmp_path), spec="s"), None, 0, tmp_path).found
        commits.append(found.key)
        assert found.values == {"commit": git(tmp_path, "rev-parse", "HEAD"), "ref": "main"}
    assert commits[0] != commits[1]
    git(tmp_path, "tag", "v1", "HEAD~1")
    assert look(GitSensor(url=str(tmp_path), ref="v1", spec="s"), None, 0, tmp_path).found[0].key == commits[0]


@pytest.mark.parametrize(("ref", "where"), [("gone", "."), ("main", "nowhere")])
def test_a_branch_or_repository_that_is_not_there_is_an_error(tmp_path: Path, ref: str, where: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    with pytest.raises(SwathError):
        look(GitSensor(url=str(tmp_path / where), ref=ref, spec="s"), None, 0, tmp_path)
