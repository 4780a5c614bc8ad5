"""Commits of a repository behind a real git server: fetched once, executed never, and clear words where that fails."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.agent.git_cache import GitCache, GitLimits
from swath.errors import CredentialsError, InfrastructureError, Interrupted, UsageError
from tests.agent.git_server import GitServer, git

QUICK = GitLimits(fetch_s=120, tries=3, pause_s=0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    server = GitServer(tmp_path / "host")
    yield server
    server.close()


def cache_of(server: GitServer, tmp_path: Path, address: str = "", limits: GitLimits = QUICK) -> GitCache:
    return GitCache(tmp_path / "cache", address or server.address, threading.Event(), limits)


def test_a_commit_is_fetched_without_its_history_and_only_once(server: GitServer, tmp_path: Path) -> None:
    server.commit({"big": "x" * 1000})
    commit = server.commit({"big": "y", "sub/file": "text"})
    cache = cache_of(server, tmp_path)
    assert cache.resolve("main") == cache.resolve("HEAD") == commit
    cache.fetch(commit)
    assert git(cache.folder, "rev-list", "--count", commit) == "1"
    before = len(server.requests)
    cache.fetch(commit)
    assert len(server.requests) == before
    cache.check_out(commit, tmp_path / "tree")
    assert (tmp_path / "tree/sub/file").read_text() == "text"
    assert not cache.changed(tmp_path / "tree")
    (tmp_path / "tree/result").touch()
    assert cache.changed(tmp_path / "tree")
    cache.remove(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert git(cache.folder, "worktree", "list").count("\n") == 0


def test_tags_go_before_branches_and_annotated_ones_are_their_commit(server: GitServer, tmp_path: Path) -> None:
    first = server.commit({"file": "1"})
    git(server.work, "tag", "-a", "-m", "a release", "v1")
    git(server.work, "push", "-q", "origin", "v1")
    second = server.commit({"file": "2"})
    git(server.work, "push", "-q", "origin", "HEAD:refs/heads/v1")
    cache = cache_of(server, tmp_path)
    assert (cache.resolve("v1"), cache.resolve("main"), cache.resolve(first)) == (first, second, first)
    with pytest.raises(UsageError, match="no branch or tag 'mian'"):
        cache.resolve("mian")


def test_a_commit_that_a_push_has_replaced_is_told_and_one_that_is_here_stays(
    server: GitServer, tmp_path: Path
) -> None:
    here = server.commit({"file": "1"})
    cache_of(server, tmp_path).fetch(here)
    gone = server.commit({"file": "2"}, amend=True)
    server.commit({"file": "3"}, amend=True)
    server.forget()
    cache = cache_of(server, tmp_path)
    cache.fetch(here)
    with pytest.raises(UsageError, match=f"commit {gone} is not in http") as caught:
        cache.fetch(gone)
    assert "pushed over it" in caught.value.remedy


def test_hooks_submodules_and_filters_of_a_repository_do_nothing(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks where git looks for them by the user's settings, a submodule at a path of this machine, a filter that the user has."""
    proof = tmp_path / "executed"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {proof}\n")
        (hooks / name).chmod(0o755)
    (tmp_path / ".gitconfig").write_text(
        f'[core]\n hooksPath = {hooks}\n[init]\n templateDir = {tmp_path}\n[filter "lfs"]\n smudge = touch {proof}\n required = true\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    server.commit({"file": "1"})
    git(server.work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(server.bare), "inner")
    commit = server.commit(
        {".gitattributes": "*.bin filter=lfs\n", "model.bin": "pointer", ".githooks/post-checkout": "x"}
    )
    cache = cache_of(server, tmp_path)
    cache.fetch(commit)
    cache.check_out(commit, tmp_path / "tree")
    assert (tmp_path / "tree/model.bin").read_text() == "pointer"
    assert list((tmp_path / "tree/inner").iterdir()) == []
    assert not proof.exists()


def test_a_credential_of_the_environment_is_used_and_is_in_no_command_line_and_no_file(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.commit({"file": "1"})
    server.token = "ada:canary-4711"
    cache = cache_of(server, tmp_path)
    with pytest.raises(CredentialsError, match="could not read Username") as caught:
        cache.resolve("main")
    assert "docs/server.md" in caught.value.remedy
    secret = base64.b64encode(server.token.encode()).decode()
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"http.{server.address}.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"Authorization: Basic {secret}")
    log = tmp_path / "words"
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    real = next(f"{each}/git" for each in os.environ["PATH"].split(":") if Path(each, "git").exists())
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert cache.resolve("main") == commit
    cache.fetch(commit)
    cache.check_out(commit, tmp_path / "tree")
    texts = [
        file.read_bytes()
        for file in [*(tmp_path / "cache").rglob("*"), *(tmp_path / "tree").rglob("*")]
        if file.is_file()
    ]
    assert b"worktree add" in log.read_bytes()
    assert not [text for text in [*texts, log.read_bytes()] if b"canary" in text or secret.encode() in text]


def test_a_host_that_is_away_for_a_moment_is_asked_again_and_one_that_stays_away_is_told(
    server: GitServer, tmp_path: Path
) -> None:
    commit = server.commit({"file": "1"})
    server.refused = 2
    assert cache_of(server, tmp_path).resolve("main") == commit
    server.close()
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1") as caught:
        cache_of(server, tmp_path).resolve("main")
    assert "reaches the repository" in caught.value.remedy


def test_a_repository_that_is_not_there_is_told_at_once(server: GitServer, tmp_path: Path) -> None:
    server.commit({"file": "1"})
    other = server.address.replace("lakes", "ponds")
    before = len(server.requests)
    with pytest.raises(UsageError, match="not found"):
        cache_of(server, tmp_path, other).resolve("main")
    assert len(server.requests) == before + 1


def test_another_protocol_than_the_address_has_is_not_spoken(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises((UsageError, InfrastructureError), match=r"not allowed|not supported|ext"):
        cache_of(server, tmp_path, "ext::sh -c touch% /tmp/x").resolve("main")


def test_a_fetch_ends_when_it_is_told_to(server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    stop = threading.Event()
    cache = GitCache(tmp_path / "cache", server.address, stop, QUICK)
    cache.folder.parent.mkdir()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        cache.resolve("main")
    assert time.monotonic() - began < 100
