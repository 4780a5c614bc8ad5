"""The agent's copy of a git repository: commits are fetched into it, each run gets the files of its commit as a folder.

Git gets no hook, no submodule, no file in LFS, no configuration of the user, and no other protocol than the address has. Credentials
are `http.extraHeader` in the agent's environment (GIT_CONFIG_COUNT), or keys of ssh: they are in no address, command line or file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from swath.agent.reported_text import plain
from swath.errors import CredentialsError, InfrastructureError, Interrupted, StateError, SwathError, UsageError
from swath.protocol.sources import is_commit
from swath.storage.private_folder import make_private

CREDENTIALS = re.compile(r"GIT_CONFIG_(COUNT|KEY_\d+|VALUE_\d+)|GIT_SSH_COMMAND")
"""Environment variables for git that no run gets."""
_INHERITED = re.compile(rf"{CREDENTIALS.pattern}|GIT_SSL_\w+|GIT_EXEC_PATH")
_OPTIONS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.autoDetach=false", "http.followRedirects=false",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "fetch.recurseSubmodules=false", "submodule.recurse=false",
)  # fmt: skip
_NOT_ALLOWED = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|returned error: 40[13]|host key verif",
    re.I,
)
_NOT_THERE = re.compile(r"not found|returned error: (404|410)|does not appear to be a git repo|does not exist", re.I)
_MOVED = re.compile(r"returned error: 30\d|unable to update url base", re.I)
_NO_SUCH_COMMIT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref|no such remote ref", re.I)


@dataclass(frozen=True)
class GitLimits:
    """Times of git commands."""

    fetch_s: float = 600.0
    """Of one fetch, and of one checkout."""
    tries: int = 3
    """Of a command that asks the repository's host."""
    pause_s: float = 2.0
    """Before the second try; four times as long before the third."""


class _Failed(Exception):
    """Git failed; the message is its own."""


class GitCache:
    """A bare repository beside others in a folder of the agent, locked while it is written."""

    def __init__(self, parent: Path, address: str, stop: threading.Event, limits: GitLimits = GitLimits()) -> None:
        """stop: ends commands that go on when it is set."""
        self.address = address
        self.folder = parent / f"{hashlib.sha256(address.encode()).hexdigest()[:20]}.git"
        self._stop = stop
        self._limits = limits

    def resolve(self, ref: str) -> str:
        """The commit that a branch, a tag or HEAD is now. Raises UsageError when there is none of this name."""
        if is_commit(ref):
            return ref
        names = [ref] if ref == "HEAD" else [f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"]
        listed = self._asked("ls-remote", "--quiet", self.address, *names)
        found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
        commit = next((found[name] for name in names if name in found), "")
        if not is_commit(commit):
            raise UsageError(
                f"{self.address} has no branch or tag {ref!r}", remedy="a commit is named with its whole hash"
            )
        return commit

    def fetch(self, commit: str) -> None:
        """Bring a commit, without its history where the host gives single commits. Raises UsageError when it is not there any more."""
        with self._locked():
            if not (self.folder / "HEAD").exists():
                self._git("init", "--quiet", "--bare", "--template=", str(self.folder), inside=False)
            if self._has(commit):
                return
            words = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", self.address)
            try:
                self._asked("fetch", "--depth=1", *words, commit, passed=_NO_SUCH_COMMIT)
            except _Failed:
                self._asked("fetch", *words, "+refs/heads/*:refs/swath/heads/*", "+refs/tags/*:refs/swath/tags/*")
            if not self._has(commit):
                raise UsageError(
                    f"commit {commit} is not in {self.address}",
                    remedy="it was never pushed, or a branch was pushed over it; submit the run with another --ref",
                )

    def check_out(self, commit: str, tree: Path) -> None:
        """Write the files of a commit into a new folder. One that is there is replaced."""
        self.remove(tree)
        make_private(tree.parent)
        try:
            with self._locked():
                self._git("worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
        except _Failed as error:
            raise StateError(f"commit {commit[:12]} cannot be written to {tree}: {error}") from None

    def changed(self, tree: Path) -> bool:
        """Whether a folder has files that are not in its commit, or others than there; what Python compiled does not count."""
        try:
            listed = self._git(
                "-C", str(tree), "status", "--porcelain", "--ignored", "--untracked-files=all", "-z", inside=False
            )
        except _Failed:
            return True
        return any("__pycache__/" not in entry for entry in listed.split("\0") if entry)

    def remove(self, tree: Path) -> None:
        """Remove the folder of a commit, also an incomplete one."""
        if self.folder.exists():
            with contextlib.suppress(_Failed), self._locked():
                self._git("worktree", "remove", "--force", "--force", str(tree))
        shutil.rmtree(tree, ignore_errors=True)

    def _has(self, commit: str) -> bool:
        try:
            self._git("rev-parse", "--quiet", "--verify", f"{commit}^{{tree}}")
        except _Failed:
            return False
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        make_private(self.folder.parent)
        handle = os.open(self.folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + 2 * self._limits.fetch_s
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise StateError(f"another process has used {self.folder} for long", remedy="see what it does")
                self._wait(0.1)
            yield
        finally:
            os.close(handle)

    def _asked(self, *words: str, passed: re.Pattern[str] | None = None) -> str:
        """Output of a command that asks the repository's host, tried again where that may help. passed: errors that are raised as
        _Failed."""
        pause = self._limits.pause_s
        for left in reversed(range(self._limits.tries)):
            try:
                return self._git(*words, inside=words[0] != "ls-remote")
            except _Failed as failed:
                if passed is not None and passed.search(str(failed)):
                    raise
                error = _explained(self.address, str(failed))
                if not left or not isinstance(error, InfrastructureError):
                    raise error from None
            self._wait(pause)
            pause *= 4
        raise AssertionError("the last try returns or raises")

    def _git(self, *words: str, inside: bool = True) -> str:
        options = [word for option in _OPTIONS for word in ("-c", option)]
        command = ["git", *options, *(["--git-dir", str(self.folder)] if inside else []), *words]
        try:
            process = subprocess.Popen(
                command, env=_environment(os.environ, self.address), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True, cwd="/",
            )  # fmt: skip
        except FileNotFoundError:
            raise UsageError("the program git is not installed on the agent's machine", remedy="install git") from None
        deadline = time.monotonic() + self._limits.fetch_s
        while True:
            try:
                out, err = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if self._stop.is_set() or time.monotonic() > deadline:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    self._wait(0)
                    raise _Failed(f"git {words[0]} took more than {self._limits.fetch_s:g} s") from None
        if process.returncode:
            raise _Failed(plain(err.decode("utf-8", "replace")).strip()[-1000:] or f"git {words[0]} failed")
        return out.decode("utf-8", "surrogateescape")

    def _wait(self, pause_s: float) -> None:
        if self._stop.wait(pause_s):
            raise Interrupted("it was stopped before its code was there")


def _explained(address: str, message: str) -> SwathError:
    """The error for what git says of a repository's host."""
    text = f"{address}: {message}"
    if _NOT_ALLOWED.search(message):
        return CredentialsError(
            text, remedy="give the agent's user the right to read it: see docs/server.md, Code from git"
        )
    if _MOVED.search(message):
        return UsageError(text, remedy="the repository was moved: give the project and the agent its new address")
    if _NOT_THERE.search(message):
        return UsageError(text, remedy="see the project's address, and whether the agent may read the repository")
    if "No space left" in message:
        return StateError(text, remedy="make room in the agent's state folder")
    return InfrastructureError(
        text, remedy="see whether the agent's machine reaches the repository; `pipe resume` tries again"
    )


def _environment(env: Mapping[str, str], address: str) -> dict[str, str]:
    """Of a git command: nothing of the user's configuration, no question to anybody, one protocol."""
    kept = {
        name: value
        for name, value in env.items()
        if not name.startswith(("GIT_", "SWATH_", "SSH_ASKPASS")) or _INHERITED.fullmatch(name)
    }
    return {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes", **kept} | {
        "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_LFS_SKIP_SMUDGE": "1", "GIT_ALLOW_PROTOCOL": urlsplit(address).scheme,
    }  # fmt: skip


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
