"""Sensor `files`: files of this machine that match a pattern and are not being written any more."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from glob import iglob
from itertools import islice
from pathlib import Path
from typing import Any

from swath.errors import UsageError
from swath.triggers.look import MOST_FOUND, Found, Look
from swath.triggers.trigger import FilesSensor


def look(sensor: FilesSensor, cursor: Any, now: float, root: Path) -> Look:
    """All files that match and have been left alone for `quiet`; of those that have not, the number. Needs no cursor."""
    found, written = [], 0
    matches = iglob(sensor.paths, root_dir=root, recursive=True)  # noqa: PTH207 - a pattern may be absolute
    paths = sorted(islice(matches, MOST_FOUND + 1))
    if len(paths) > MOST_FOUND:
        raise UsageError(
            f"{sensor.paths}: more than {MOST_FOUND:,} files", remedy="move away those that were dealt with"
        )
    for path in paths:
        file = root / path
        try:
            facts = file.stat()
        except OSError:  # it is gone meanwhile
            continue
        if not file.is_file():
            continue
        if now - facts.st_mtime < sensor.quiet:
            written += 1
            continue
        version = f"@{facts.st_mtime_ns}-{facts.st_size}" if sensor.on == "change" else ""
        modified = datetime.fromtimestamp(facts.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {
            "path": os.path.normpath(file),
            "name": file.name,
            "stem": file.stem,
            "size": facts.st_size,
            "modified": modified,
        }
        found.append(Found(f"{path}{version}", values))
    return Look(
        tuple(found), None, f"{written} files were changed a moment ago" if written else f"{len(found)} files match"
    )
