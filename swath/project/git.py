"""A git repository: what swath asks it, deaf to the user's git settings and quiet towards the user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.errors import UsageError

PATIENCE_S = 60.0
"""How long one git command may take; a checkout may take ten times as long."""

# A hook or an alias may have set these for its own repository; git's settings (GIT_CONFIG_*) stay, CI marks safe folders there.
_KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
_DEAF = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.quotePath=true",
    "-c",
    "color.ui=false",
)


class GitFailed(Exception):
    """A git command failed; the message is what git said."""


@dataclass(frozen=True)
class Repository:
    """A working tree and its history. Make it with `Repository.around`."""

    top: Path
    """The topmost folder of the working tree; absolute, without links."""

    @classmethod
    def around(cls, folder: Path) -> Repository | None:
        """The repository that holds a folder, or held it while it was there; None when there is none, or no git."""
        there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
        if there is None:
            return None
        try:
            top = git(there, "rev-parse", "--show-toplevel").rstrip("\n")
        except GitFailed:
            return None
        return cls(Path(top)) if top else None

    def git(self, *arguments: str, codes: Sequence[int] = (0,), patience_s: float = PATIENCE_S) -> str:
        """What a git command prints. Raises GitFailed."""
        return git(self.top, *arguments, codes=codes, patience_s=patience_s)

    def head(self) -> str:
        """The commit that is checked out; empty when there is none yet."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        except GitFailed:
            return ""

    def described(self) -> str:
        """The commit that is checked out, with `-dirty` when a file was changed after it; empty when there is none yet."""
        head = self.head()
        if not head:
            return ""
        try:
            changed = self.git("status", "--porcelain", "--untracked-files=no").strip()
        except GitFailed:
            return head
        return f"{head}-dirty" if changed else head

    def branch(self) -> str:
        """The branch that is checked out; empty when there is none."""
        try:
            return self.git("symbolic-ref", "--short", "--quiet", "HEAD").strip()
        except GitFailed:
            return ""

    def commit(self, revision: str) -> str:
        """The commit that a revision names: a hash or the start of one, a branch, a tag, `HEAD~1`. Raises UsageError."""
        try:
            if not revision or revision.startswith("-"):
                raise GitFailed
            found = self.git("rev-parse", "--verify", "--quiet", revision).strip()
            return self.git("rev-parse", "--verify", "--quiet", f"{found}^{{commit}}").strip()
        except GitFailed:
            raise UsageError(
                f"there is no commit {revision!r} in {self.top}",
                remedy="`git log --oneline --all` lists the commits; `git fetch --tags` brings what others pushed",
            ) from None

    def text(self, commit: str, path: str) -> str | None:
        """The text of a file as of a commit; None when it is not in it. The path starts at the top."""
        try:
            return self.git("cat-file", "blob", f"{commit}:{path}")
        except GitFailed:
            return None

    def count_apart(self, first: str, second: str) -> tuple[int, int] | None:
        """How many commits only the first has behind it, and how many only the second; None when one is not here."""
        try:
            left, right = self.git("rev-list", "--count", "--left-right", f"{first}...{second}", "--").split()
        except (GitFailed, ValueError):
            return None
        return int(left), int(right)

    def inside(self, path: Path) -> str | None:
        """A path from the top on, with `/`; None when it is not in the working tree."""
        real = Path(os.path.realpath(path.parent)) / path.name
        return real.relative_to(self.top).as_posix() if real.is_relative_to(self.top) else None


def git(folder: Path, *arguments: str, codes: Sequence[int] = (0,), patience_s: float = PATIENCE_S) -> str:
    """What a git command in a folder prints; bytes that are not UTF-8 come as surrogates. Raises GitFailed."""
    command = ["git", *_DEAF, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=patience_s, check=False
        )
    except FileNotFoundError:
        raise GitFailed("the program git is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(str(error)) from error
    if done.returncode not in codes:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise GitFailed(said or f"git {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape")


def environment() -> dict[str, str]:
    """The environment of a git command: no other repository, no prompt, no lock of the index, no large files to fetch."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(_KEPT)}
    return kept | {
        "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LFS_SKIP_SMUDGE": "1",
    }  # fmt: skip
