"""`pipe list`: the pipelines that a spec can name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from swath.cli.render.columns import table
from swath.project.pipeline_folders import pipeline_folders
from swath.project.registry import Registry
from swath.project.trust import TrustedFolders
from swath.spec.project_root import project_root


def list_pipelines(*, as_json: bool) -> int:
    """Print name, summary and origin of every pipeline; what could not be loaded goes to stderr."""
    root = project_root(Path.cwd())
    trusted = TrustedFolders.of_user().has(root)
    registry = Registry.discover(pipeline_folders(root), untrusted=None if trusted else root)
    entries = registry.entries.values()
    if as_json:
        rows = [{"name": e.name, "summary": e.summary, "origin": e.origin} for e in entries]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif entries:
        for line in table(("NAME", "WHAT IT DOES", "FROM"), [(e.name, e.summary, e.origin) for e in entries]):
            print(line)
    else:
        print("no pipelines here; `pipe init DIR` makes a project with one", file=sys.stderr)
    if registry.not_loaded:
        print(registry.not_loaded, file=sys.stderr)
    for error in registry.ambiguous.values():
        print(f"warning: {error.message}; {error.remedy}", file=sys.stderr)
    for place, reason in registry.broken.items():
        print(f"warning: {place} could not be loaded: {reason}", file=sys.stderr)
    return 0
