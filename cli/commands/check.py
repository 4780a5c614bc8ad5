"""`pipe check`: validate specs and build their graphs. Nothing is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from swath.errors import SpecError, SwathError, UsageError
from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner.load import load_in, project_of


def check_specs(files: list[Path], sets: list[str], cluster: str | None, allow_env: list[str], *, as_json: bool) -> int:
    """Validate each spec and build its graph. Verdicts go to stdout, mistakes to stderr. Returns 2 if any is wrong."""
    projects: dict[Path, tuple[Project, Registry]] = {}
    verdicts = [_verdict(file, sets, cluster, allow_env, projects) for file in files]
    if as_json:
        print(json.dumps(verdicts, ensure_ascii=False, indent=2))
    else:
        for verdict in verdicts:
            _print(verdict)
    return UsageError.exit_code if any(not verdict["ok"] for verdict in verdicts) else 0


def _verdict(
    file: Path,
    sets: list[str],
    cluster: str | None,
    allow_env: list[str],
    projects: dict[Path, tuple[Project, Registry]],
) -> dict[str, Any]:
    """The verdict on a spec as plain values. projects: those of folders that were met already; this one's is added."""
    try:
        folder = file.absolute().parent
        if folder not in projects:
            project = project_of(folder, allow_env=allow_env)
            projects[folder] = (project, Registry.of(project))
        job = load_in(file, sets, cluster, *projects[folder])
        _ = job.graph
    except SpecError as error:
        mistakes = [
            {"file": m.file, "line": m.line, "column": m.column, "field": m.field, "message": m.message}
            for m in error.mistakes
        ]
        return {"file": str(file), "ok": False, "mistakes": mistakes, "text": error.message}
    except SwathError as error:
        return {"file": str(file), "ok": False, "mistakes": [], "text": f"{file}: {error}"}
    except Exception as error:  # noqa: BLE001 - the pipeline's own code, on this spec
        text = f"{file}: the graph cannot be built: {type(error).__name__}: {error}"
        return {"file": str(file), "ok": False, "mistakes": [], "text": text}
    return {
        "file": str(file),
        "ok": True,
        "pipeline": job.loaded.pipeline,
        "nodes": sum(map(len, job.variant_graphs)),
        "variants": [{"name": variant.name, "values": variant.values} for variant in job.loaded.variants],
        "notes": list(job.loaded.notes),
    }


def _print(verdict: dict[str, Any]) -> None:
    file = verdict["file"]
    if verdict["ok"]:
        count, variants = verdict["nodes"], verdict["variants"]
        number = f", {len(variants)} {'variant' if len(variants) == 1 else 'variants'}" if variants else ""
        print(f"{file}: ok ({verdict['pipeline']}, {count} {'node' if count == 1 else 'nodes'}{number})")
        for variant in variants:
            print(f"{file}: variant: {variant['name']}")
        for note in verdict["notes"]:
            print(f"{file}: note: {note}", file=sys.stderr)
        return
    count = len(verdict["mistakes"]) or 1
    print(verdict["text"], file=sys.stderr)
    print(f"{file}: {count} {'mistake' if count == 1 else 'mistakes'}")
