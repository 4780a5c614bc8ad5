"""`pipe trust`: folders whose pipelines are loaded."""

from __future__ import annotations

import sys
from pathlib import Path

from swath.errors import UsageError
from swath.project.trust import TrustedFolders
from swath.spec.project_root import project_root


def trust_project(folder: Path) -> int:
    """Trust the project around a folder; its root is printed."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", remedy="give the folder of a project")
    root = project_root(folder)
    added = TrustedFolders.of_user().add(root)
    print(added.folder)
    if root.stat().st_mode & 0o002:
        print(
            f"warning: every user of this machine can write to {added.folder}, and so add code to it", file=sys.stderr
        )
    return 0


def list_trusted() -> int:
    """Print the trusted folders; for each that is not the folder that was trusted any more, a line on stderr."""
    trusted = TrustedFolders.of_user()
    for each in trusted.all():
        if trusted.has(Path(each.folder)):
            print(each.folder)
        else:
            print(f"{each.folder} is gone or was replaced: it is not trusted", file=sys.stderr)
    return 0


def remove_trust(folder: Path) -> int:
    """Trust a folder, or the project around it, no more. Raises UsageError when it was not trusted."""
    trusted = TrustedFolders.of_user()
    root = project_root(folder)
    if not (trusted.remove(folder) or trusted.remove(root)):
        raise UsageError(f"{root} is not in the list of trusted folders", remedy="`pipe trust --list` prints the list")
    return 0
