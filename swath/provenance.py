"""Where a run comes from: the commit of the project and the versions of what it used."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from swath.version import __version__

LIBRARIES = (
    "dask",
    "distributed",
    "rasterio",
    "odc-geo",
    "numpy",
    "torch",
    "onnxruntime",
    "geopandas",
    "pystac",
    "rio-cogeo",
)


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, branch and whether there are uncommitted changes in the repository that holds `folder`; empty when there is none."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return {}


def versions() -> dict[str, str]:
    """Versions of swath, Python and the libraries that shape a map; those that are not installed are left out."""
    found = {"swath": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
