"""Real git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, whatever the settings of who runs the tests are."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(
        ["git", *who, "-C", str(folder), *words], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def repository(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A repository with one commit of some files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder, files)


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def commit(folder: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """Write files and commit everything."""
    write(folder, files or {})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "some")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a working tree; of a link where it points."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name.partition("/")[0] == ".git" or (file.is_dir() and not file.is_symlink()):
            continue
        found[name] = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
    return found
