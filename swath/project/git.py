"""Git commands in a repository, without hooks, prompts and the user's settings that change their output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.errors import UsageError
from swath.project.git_settings import LIST, unsafe_setting
from swath.project.trust import TrustedFolders
from swath.spec.project_root import project_root

FIRST_S = 20.0
"""Time limit of the first command, which reads few files; one of them may be a pipe."""
TIMEOUT_S = 60.0
"""Time limit of a git command, in seconds; a checkout gets ten times as long."""

# Variables GIT_* are dropped: a hook or an alias may have set them for its own repository. These stay: CI marks safe folders there.
_INHERITED = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
_OPTIONS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "safe.bareRepository=explicit",  # a folder of a clone can be a repository with settings of its own
    "-c",
    "core.quotePath=true",
    "-c",
    "color.ui=false",
)


class GitFailed(Exception):
    """A git command failed; the message is that of git."""


class GitMissing(GitFailed):
    """There is no program git."""


class RepositoryRefused(GitFailed):
    """There is a repository, and it is not read: it belongs to another user, is damaged, or is not trusted and could make git execute
    programs. The message is one line."""


@dataclass(frozen=True)
class Repository:
    """A working tree and its history. `Repository.around` finds it."""

    top: Path
    """The top folder of the working tree; absolute, without symbolic links."""
    trusted: bool = True
    """Whether the project is. Without trust, repositories within this one (submodules) are not asked what was changed in them: their
    settings could execute programs."""

    @classmethod
    def around(cls, folder: Path) -> Repository | None:
        """The repository around a folder, which need not exist any more; None without one that git reads, or without git."""
        try:
            return cls.find(folder)
        except RepositoryRefused:
            return None

    @classmethod
    def find(cls, folder: Path) -> Repository | None:
        """As `around`. Raises RepositoryRefused where there is a repository that git does not read, or which is not trusted and has
        settings that could execute programs."""
        there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
        if there is None:
            return None
        try:
            top = git(there, "rev-parse", "--show-toplevel", timeout_s=FIRST_S).rstrip("\n")
        except GitMissing:
            return None
        except GitFailed as error:
            if "not a git repository" in str(error).lower():
                return None
            raise RepositoryRefused(_in_one_line(str(error))) from error
        if not top:
            return None
        trusted = TrustedFolders.of_user().has(project_root(there))
        if not trusted:
            _refuse_programs(there)
        return cls(Path(top), trusted)

    def git(self, *arguments: str, codes: Sequence[int] = (0,), timeout_s: float = TIMEOUT_S) -> str:
        """Output of a git command. codes: exit codes that are no failure. Raises GitFailed."""
        return git(self.top, *arguments, codes=codes, timeout_s=timeout_s)

    @property
    def submodules(self) -> tuple[str, ...]:
        """Options of `git status` and `git diff` about submodules."""
        return () if self.trusted else ("--ignore-submodules=dirty",)

    def head(self) -> str:
        """The checked-out commit; empty before the first one."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        except GitFailed:
            return ""

    def described(self) -> str:
        """The checked-out commit, with `-dirty` when tracked files were changed; empty before the first one."""
        head = self.head()
        if not head:
            return ""
        try:
            changed = self.git("status", "--porcelain", "--untracked-files=no", *self.submodules).strip()
        except GitFailed:
            return head
        return f"{head}-dirty" if changed else head

    def branch(self) -> str:
        """The checked-out branch; empty when HEAD is detached."""
        try:
            return self.git("symbolic-ref", "--short", "--quiet", "HEAD").strip()
        except GitFailed:
            return ""

    def commit(self, revision: str) -> str:
        """The commit of a revision: a hash or its start, a branch, a tag, `HEAD~1`. Raises UsageError."""
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
        """Text of a file in a commit; None when it is not there. path: relative to the top."""
        try:
            return self.git("cat-file", "blob", f"{commit}:{path}")
        except GitFailed:
            return None

    def count_apart(self, first: str, second: str) -> tuple[int, int] | None:
        """Number of commits that only the first has in its history, and that only the second has; None when one is unknown."""
        try:
            left, right = self.git("rev-list", "--count", "--left-right", f"{first}...{second}", "--").split()
        except (GitFailed, ValueError):
            return None
        return int(left), int(right)

    def inside(self, path: Path) -> str | None:
        """A path relative to the top, with `/`; None when it is outside of the working tree."""
        real = Path(os.path.realpath(path.parent)) / path.name
        return real.relative_to(self.top).as_posix() if real.is_relative_to(self.top) else None


def git(folder: Path, *arguments: str, codes: Sequence[int] = (0,), timeout_s: float = TIMEOUT_S) -> str:
    """Output of a git command in a folder; bytes that are not UTF-8 become surrogates. Raises GitFailed."""
    command = ["git", *_OPTIONS, "-C", str(folder), *arguments]
    try:
        process = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise GitMissing("the program git is not installed") from None
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {arguments[0]} took more than {timeout_s:g} s") from error
    except OSError as error:
        raise GitFailed(str(error)) from error
    if process.returncode not in codes:
        message = process.stderr.decode("utf-8", "replace").strip()
        raise GitFailed(message or f"git {arguments[0]} ended with exit code {process.returncode}")
    return process.stdout.decode("utf-8", "surrogateescape")


def _refuse_programs(folder: Path) -> None:
    """Raise RepositoryRefused for a repository whose own settings could execute programs."""
    try:
        setting = unsafe_setting(git(folder, *LIST))
    except (GitFailed, ValueError) as error:
        raise RepositoryRefused(_in_one_line(str(error))) from error
    if setting:
        root = project_root(folder)
        raise RepositoryRefused(
            f"its settings have {setting[:100]!r}, which could execute a program, and {root} is not trusted (pipe trust {root})"
        )


def _in_one_line(message: str) -> str:
    """Git's reason, with the command that it recommends."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reason = lines[0].removeprefix("fatal: ") if lines else "git gave no reason"
    command = next((line for line in lines[1:] if line.startswith("git ")), "")
    return f"{reason} ({command})" if command else reason


def environment() -> dict[str, str]:
    """Environment of a git command: no other repository, no prompt, no lock of the index, no download of large files."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(_INHERITED)
    }
    return inherited | {
        "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LFS_SKIP_SMUDGE": "1",
    }  # fmt: skip
